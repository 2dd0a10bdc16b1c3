"""Strings to indices, by a vocabulary or by hash. Index 0 is the empty string, which stands for a missing value."""

import hashlib
from pathlib import Path

import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.vocabulary import Vocabulary


def module_name(feature_name: str, role: str) -> str:
    """Name of a module that belongs to a feature; TensorFlow wants ASCII, features may be named in any script.

    >>> module_name("genres", "lookup"), module_name("类型", "lookup")
    ('genres_lookup', 'lookup')
    """
    return f"{feature_name}_{role}" if feature_name.isascii() else role


class VocabularyLookup(tf.Module):
    """Strings to indices by a vocabulary: 0 missing, then the out-of-vocabulary buckets, then the tokens."""

    def __init__(self, layout: DatasetLayout, feature_name: str, oov_buckets: int) -> None:
        """Reads the vocabulary; its file becomes an asset of every SavedModel that holds this lookup.

        Args:
            layout: The dataset that holds the vocabulary.
            feature_name: The feature that the vocabulary belongs to.
            oov_buckets: Number of buckets for strings outside the vocabulary.

        Raises:
            InputError: The vocabulary is missing or broken.
        """
        super().__init__(name=module_name(feature_name, "lookup"))
        path = layout.vocabulary(feature_name)
        self.vocabulary = Vocabulary.read(path, oov_buckets)
        self._table = _token_table(path, empty=not self.vocabulary.tokens)

    @property
    def num_indices(self) -> int:
        """Number of different indices."""
        return self.vocabulary.num_indices

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Indices of `values`, string in and int32 out, of any shape."""
        index = self._table.lookup(values) + self.vocabulary.first_token_index
        buckets = self.vocabulary.oov_buckets
        if buckets > 1:  # with one bucket, the table's -1 already leads to it
            bucket = 1 + tf.strings.to_hash_bucket_fast(values, buckets)
            index = tf.where(index < self.vocabulary.first_token_index, bucket, index)
        return tf.where(values == "", 0, tf.cast(index, tf.int32))

    def unknown(self, values: tf.Tensor) -> tf.Tensor:
        """Indices that `values` would have outside the vocabulary, string in and int32 out; there must be a bucket."""
        return 1 + tf.cast(tf.strings.to_hash_bucket_fast(values, self.vocabulary.oov_buckets), tf.int32)


class HashBuckets:
    """Strings to indices by hash: 0 missing, then `num_buckets` buckets."""

    def __init__(self, num_buckets: int) -> None:
        """Needs nothing that is learnt."""
        self._num_buckets = num_buckets

    @property
    def num_indices(self) -> int:
        """Number of different indices."""
        return 1 + self._num_buckets

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Indices of `values`, string in and int32 out, of any shape."""
        index = 1 + tf.strings.to_hash_bucket_fast(values, self._num_buckets)
        return tf.cast(tf.where(values == "", tf.zeros_like(index), index), tf.int32)


class _TokenFile(tf.lookup.TextFileInitializer):
    """Tokens to their line numbers, in a table named by what the file holds.

    TensorFlow names it by the path, and a process keeps a table of one name for good: another dataset in the same place
    would be encoded by the vocabulary of the former one.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole_line, line_number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        super().__init__(str(path), tf.string, whole_line, tf.int64, line_number)

    @property
    def _shared_name(self) -> str:
        return f"tokens_{self._digest}"


def _token_table(path: Path, *, empty: bool) -> tf.lookup.StaticHashTable:
    # TensorFlow refuses a table from an empty file; the empty string is missing anyway.
    no_tokens = tf.lookup.KeyValueTensorInitializer([""], [-1], tf.string, tf.int64)
    return tf.lookup.StaticHashTable(no_tokens if empty else _TokenFile(path), default_value=-1)
