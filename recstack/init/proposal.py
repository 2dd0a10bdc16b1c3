"""What `recstack init` proposes: settings and features, each with its reason."""

from dataclasses import dataclass
from typing import Any

from features.spec.base import Feature


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One line of the configuration."""

    table: str
    """Dotted name of the table it stands in; empty for the top of the file."""
    name: str
    """The field."""
    value: Any
    """A TOML value."""
    why: str
    """The reason, in a few words."""
    active: bool = True
    """Whether it is written as a setting or as a comment that shows what could be set."""

    @property
    def path(self) -> str:
        """Dotted name of the field."""
        return f"{self.table}.{self.name}".lstrip(".")


@dataclass(frozen=True, kw_only=True)
class FeatureChoice:
    """A column of a table as a feature."""

    table: str
    """`interactions`, `items` or `users`; empty for a history, which is no column."""
    column: str
    """The table's own name of the column."""
    feature: Feature
    """What it is encoded as."""
    why: str
    """The reason."""
    active: bool = True
    """Whether it is written as a feature or as a comment."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A column that is not used."""

    table: str
    """The table."""
    column: str
    """Its own name."""
    why: str
    """The reason."""
