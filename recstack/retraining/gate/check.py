"""What a rule says: a measured value, a threshold, and whether the one keeps to the other."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Bound: TypeAlias = Literal["at least", "at most"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measured value of one rule."""

    rule: str
    """Name of the rule."""
    what: str
    """What was measured, such as `ndcg@10 of retrieval minus the live model's`."""
    measured: float
    """The value."""
    bound: Bound
    """On which side of the threshold it must lie."""
    threshold: float
    """Itself included."""
    detail: str = ""
    """What helps to understand the value."""

    @property
    def passed(self) -> bool:
        """Whether the value keeps to the threshold; NaN never does."""
        at_least = self.bound == "at least"
        return self.measured >= self.threshold if at_least else self.measured <= self.threshold

    @property
    def verdict(self) -> Literal["passed", "refused"]:
        """What is shown of it."""
        return "passed" if self.passed else "refused"


def band(smallest: float, largest: float) -> tuple[tuple[Bound, float], tuple[Bound, float]]:
    """The two bounds of a value that must lie between both."""
    return ("at least", smallest), ("at most", largest)
