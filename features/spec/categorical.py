"""One of many strings."""

from dataclasses import dataclass

from features.spec.base import ColumnFeature, RawColumn
from features.spec.strings import StringFeature


@dataclass(frozen=True, kw_only=True)
class CategoricalFeature(ColumnFeature, StringFeature):
    """One of many strings, through a vocabulary learnt from the training data or through hash buckets."""

    @property
    def column(self) -> RawColumn:
        """A string without line breaks."""
        return RawColumn(kind="token")
