"""Numbers."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from features.spec.base import ColumnFeature, RawColumn, RawType, StatisticsOptions


@dataclass(frozen=True, kw_only=True)
class NumericFeature(ColumnFeature):
    """A number, standardised by the training data's mean and deviation or put into its quantile buckets.

    A missing value is NaN in records and requests.
    """

    encoding: Literal["standardise", "buckets"] = "standardise"
    """`standardise` suits linear effects, `buckets` effects of any shape."""
    num_buckets: int = 16
    """Number of quantile buckets, when `encoding` is `buckets`."""

    raw_type: ClassVar[RawType] = "float32"
    filter_by: ClassVar[Literal["range"]] = "range"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("num_buckets", self.num_buckets >= 2, "at least 2")

    @property
    def column(self) -> RawColumn:
        """A number, or a string that spells one."""
        return RawColumn(kind="number")

    @property
    def statistics(self) -> StatisticsOptions:
        """Mean and deviation, and the quantiles when `encoding` is `buckets`."""
        return StatisticsOptions(num_buckets=self.num_buckets if self.encoding == "buckets" else 0)
