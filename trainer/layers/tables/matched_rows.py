"""Which row of a former run's tables means what a row of today's means: the row of the same value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.statistics import NumericStatistics
from features.encoding.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class MatchedRows:
    """Where each row of a table was in the former run."""

    former: npt.NDArray[np.int64]
    """`[rows of today's table]`: row of the former one, -1 where that one does not know the value."""
    is_grown: bool
    """Whether the former rows are the first of today's, so that the others are values that came since."""

    num_special: int
    """How many of the first rows stand for missing and unknown values."""

    @property
    def num_values(self) -> int:
        """How many values the table has rows for."""
        return len(self.former) - self.num_special

    @property
    def num_known(self) -> int:
        """How many of these the former run knows."""
        return int((self.former[self.num_special :] >= 0).sum())

    def carry_over(self, old: npt.NDArray[np.float32], start: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Returns today's rows: the former ones, where there are any.

        A value that came since starts from the mean of the former ones. In a table of other values, a row that the
        former run does not know stays as it starts today.

        Args:
            old: `[former rows, ...]`, the trained weights.
            start: `[rows, ...]`, what today's table starts from without a former run.
        """
        others = np.broadcast_to(old.mean(axis=0), start.shape) if self.is_grown else start
        is_known = (self.former >= 0).reshape(-1, *[1] * (old.ndim - 1))
        return np.where(is_known, old[np.maximum(self.former, 0)], others)


def match_rows(before: SchemaEncoder, now: SchemaEncoder) -> dict[str, MatchedRows]:
    """Matches the rows of the tables whose meaning depends on the data, by the name of the table.

    Values of vocabularies are the same where they are spelt alike. A bucket of numbers belongs to the former bucket
    that its middle falls into. Rows by hash, by time or by place mean the same in every dataset.
    """
    matched = {
        name: match_tokens(before.lookup(name).vocabulary, now.lookup(name).vocabulary)
        for name in now.schema.vocabularies
    }
    for name, statistics in now.statistics.numeric.items():
        former = before.statistics.numeric.get(name)
        if former is not None and (statistics.quantiles or former.quantiles):
            matched[name] = match_buckets(former, statistics)
    return matched


def match_tokens(before: Vocabulary, now: Vocabulary) -> MatchedRows:
    """Matches missing and unknown values, and the tokens that both vocabularies have."""
    row_of = {token: row for row, token in enumerate(before.tokens, before.first_token_index)}
    special = range(now.first_token_index)
    former = np.array([*special, *(row_of.get(token, -1) for token in now.tokens)], np.int64)
    is_grown = now.tokens[: len(before.tokens)] == before.tokens
    return MatchedRows(former=former, is_grown=is_grown, num_special=now.first_token_index)


def match_buckets(before: NumericStatistics, now: NumericStatistics) -> MatchedRows:
    """Matches missing values, and each bucket with the former one that its middle falls into."""
    inner = now.quantiles
    edges = np.array([min(now.minimum, *inner, now.maximum), *inner, max(now.minimum, *inner, now.maximum)])
    middles = (edges[:-1] + edges[1:]) / 2
    former = np.concatenate([[0], 1 + np.searchsorted(np.array(before.quantiles), middles, side="right")])
    return MatchedRows(former=former.astype(np.int64), is_grown=False, num_special=1)


def tables_of_weights(model: tf.Module) -> dict[int, str]:
    """By the `id` of a weight, the table whose values its rows belong to; weights without such rows are left out."""
    return {id(weight): table for weight, table in _tables_of_weights(model)}


def _tables_of_weights(model: tf.Module) -> Iterator[tuple[tf.Variable, str]]:
    for module in model.submodules:
        rows: Mapping[str, str] = getattr(module, "rows_of_values", {})
        for attribute, table in rows.items():
            yield getattr(module, attribute), table
