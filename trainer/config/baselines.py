"""Which baselines there are, by name, and how they are chosen in a configuration. Imports none of them."""

from dataclasses import dataclass
from typing import Literal, get_args

from features.errors import ConfigError

BaselineName = Literal[
    "popularity",
    "popularity_recent",
    "context_popularity",
    "repeat",
    "item_cf",
    "user_cf",
    "content",
    "svd",
    "als",
    "bpr",
    "ease",
]


@dataclass(frozen=True, kw_only=True)
class BaselinesConfig:
    """The baselines that a model is compared with."""

    names: tuple[BaselineName, ...] = ("popularity", "item_cf")
    """Which baselines to fit."""
    tune: bool = True
    """Whether each baseline's grid is tried on validation first; if not, its defaults hold."""
    context: str = ""
    """Query feature by whose values `context_popularity` counts, such as the country; of a time its first part. Empty
    takes the first feature with a vocabulary or buckets, else the time of the request."""

    def __post_init__(self) -> None:
        for name in self.names:
            require_known("baselines.names", name)


def require_known(field: str, name: str) -> None:
    """Refuses a name that no baseline has.

    Raises:
        ConfigError: there is no such baseline; the error names `field`.
    """
    if name not in get_args(BaselineName):
        raise ConfigError(field, name, f"one of {', '.join(get_args(BaselineName))}")
