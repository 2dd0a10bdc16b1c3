"""Vocabularies: the values that have an embedding of their own, in a list that only grows at its end.

An encoded value has the same index in training and in the SavedModel:

    0                            missing (null, empty string) or padding
    1 … oov_buckets              values outside the vocabulary, by hash
    oov_buckets + 1 …            the tokens, in file order

New tokens are appended, so that an embedding row keeps its meaning in every later run and a warm start only adds rows
at the end of the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from features.disk.files import write_text_atomically
from features.errors import MEND_DATASET, InputError
from features.schema import fingerprint


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in index order and the number of out-of-vocabulary buckets before them."""

    tokens: tuple[str, ...]
    oov_buckets: int = 1

    @property
    def num_indices(self) -> int:
        """Number of rows of the embedding table: the missing value, the buckets and the tokens."""
        return 1 + self.oov_buckets + len(self.tokens)

    @property
    def first_token_index(self) -> int:
        """Index of the first token."""
        return 1 + self.oov_buckets

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that depend on the tokens, their order and the number of buckets."""
        return fingerprint([self.oov_buckets, list(self.tokens)])

    def grow(self, counts: Mapping[str, int], min_count: int = 1) -> "Vocabulary":
        """Returns this vocabulary with new tokens appended, the most frequent first and ties in code point order.

        Args:
            counts: Occurrences of each value in the training data. Old tokens stay even if they are absent.
            min_count: Occurrences that a new token needs.
        """
        known = set(self.tokens)
        new = [
            (-count, token) for token, count in counts.items() if count >= min_count and token not in known and token
        ]
        return Vocabulary(self.tokens + tuple(token for _, token in sorted(new)), self.oov_buckets)

    def write(self, path: Path) -> None:
        """Writes one token per line in UTF-8, as `tf.lookup.TextFileInitializer` reads them."""
        write_text_atomically(path, "".join(f"{token}\n" for token in self.tokens))

    @classmethod
    def read(cls, path: Path, oov_buckets: int = 1) -> "Vocabulary":
        """Reads a file that `write` wrote.

        Raises:
            InputError: The file is missing, is not UTF-8, or holds an empty token or one token twice.
        """
        try:
            text = path.read_bytes().decode("utf-8")
        except FileNotFoundError as error:
            raise InputError(f"vocabulary {path}: no such file; {MEND_DATASET}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"vocabulary {path}: UTF-8 expected ({error}); {MEND_DATASET}") from error
        tokens = tuple(text.split("\n")[:-1])
        if len(set(tokens)) != len(tokens) or "" in tokens:
            raise InputError(f"vocabulary {path}: expected distinct non-empty lines; {MEND_DATASET}")
        return cls(tokens, oov_buckets)
