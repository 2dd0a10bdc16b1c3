"""What a setting of the search is: a field of a stage's table, the values that it may have, and when it counts.

A table is `[retrieval]`, `[ranking]` or `[list_ranking]` as plain dictionaries. Settings read and change tables, so
that a choice that is made first, such as the kind of an encoder, decides which other fields there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from optuna.trial import Trial

from features.disk.layout import StageName
from features.disk.manifest import Manifest
from features.kinds import Kinds, option_names
from features.schema import Schema
from features.serialization import unstructure
from recstack.config import StackConfig
from trainer.config.retrieval import has_content

Table: TypeAlias = dict[str, Any]

# A float is rounded to so many significant digits, so that a configuration stays readable.
_DIGITS = 3


@dataclass(frozen=True, kw_only=True)
class LogFacts:
    """What decides which settings make sense for a log."""

    items: int
    """In the catalogue."""
    has_history: bool
    """Whether queries have a history."""
    has_side_features: bool
    """Whether anything but the id is known of items."""
    is_split_by_time: bool
    """Whether validation and test come after all training events, so that the age of an event may count."""
    takes_again: bool
    """Whether items that a user has taken may be recommended again."""
    user_beside_history: str = ""
    """Name of the user's id if it has an embedding beside a history; else empty."""
    tasks: int = 0
    """Labels that the ranking model predicts."""
    has_content: bool = False
    """Whether features say what items are like, so that items can be alike."""
    is_compiled: bool = False
    """Whether XLA compiles the steps, which it cannot do with all settings."""

    @classmethod
    def of(cls, stack: StackConfig, dataset: Manifest) -> "LogFacts":
        """The facts of a prepared dataset."""
        return cls(
            items=dataset.counts.get("candidates", 0),
            has_history=stack.features.history is not None,
            has_side_features=len(stack.features.candidate) > 1,
            is_split_by_time=stack.pipeline.split.kind == "global_time",
            takes_again=not stack.evaluation.exclude_seen,
            user_beside_history=_user_beside_history(stack.features),
            tasks=len(stack.features.task),
            has_content=has_content(stack.retrieval, stack.features),
            is_compiled=stack.training.xla,
        )


def _user_beside_history(schema: Schema) -> str:
    names = [feature.name for feature in schema.embedded_query if feature.name == schema.user_id]
    return names[0] if names and schema.history is not None else ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where a search starts."""

    table: Table
    """The table of the given configuration."""
    facts: LogFacts
    """Of its log."""


Condition: TypeAlias = Callable[[Table, LogFacts], bool]


def always(table: Table, facts: LogFacts) -> bool:
    """A condition that holds for every log."""
    return True


@dataclass(frozen=True, kw_only=True)
class Setting(ABC):
    """One setting of the search."""

    field: str
    """Dotted name of the field below the stage's table; the parameter's name in the study."""
    when: Condition = always
    """Whether it counts, given the settings before it and the log."""

    def counts(self, table: Table, facts: LogFacts) -> bool:
        """Whether the table has the field and the log a use for it."""
        return get(table, self.field) is not None and self.when(table, facts)

    def read(self, table: Table) -> Any:
        """The parameter that a table stands for."""
        return get(table, self.field)

    @abstractmethod
    def allows(self, value: Any, start: Start) -> bool:
        """Whether `suggest` may draw the value."""

    @abstractmethod
    def describe(self, start: Start) -> str:
        """The values that `suggest` may draw."""

    @abstractmethod
    def suggest(self, trial: Trial, start: Start) -> Any:
        """Draws the parameter; the value where the search starts is always possible."""

    def write(self, table: Table, value: Any) -> None:
        """Gives the table the parameter; one that has it already stays as it is."""
        if self.read(table) != value:
            put(table, self.field, value)


@dataclass(frozen=True, kw_only=True)
class Choice(Setting):
    """One of a few values."""

    values: Callable[[Start], tuple[Any, ...]]
    """The values, given where the search starts."""

    def allows(self, value: Any, start: Start) -> bool:
        """Whether it is one of the values."""
        return value in self._choices(start)

    def describe(self, start: Start) -> str:
        """All values."""
        return str(self._choices(start))

    def suggest(self, trial: Trial, start: Start) -> Any:
        """Draws one of the values."""
        return trial.suggest_categorical(self.field, self._choices(start))

    def _choices(self, start: Start) -> list[Any]:
        own = [self.read(start.table)] if get(start.table, self.field) is not None else []
        return list(dict.fromkeys((*own, *self.values(start))))


@dataclass(frozen=True, kw_only=True)
class Range(Setting):
    """A number between two others."""

    low: float
    high: float
    log: bool = False
    """Whether ratios count instead of differences."""

    def allows(self, value: Any, start: Start) -> bool:
        """Whether it lies in the range."""
        low, high = self._bounds(start)
        return bool(low <= value <= high)

    def describe(self, start: Start) -> str:
        """The bounds."""
        return str(self._bounds(start))

    def suggest(self, trial: Trial, start: Start) -> Any:
        """Draws a number; the range grows if the search starts outside it."""
        return trial.suggest_float(self.field, *self._bounds(start), log=self.log)

    def _bounds(self, start: Start) -> tuple[float, float]:
        own = self.read(start.table) if get(start.table, self.field) is not None else self.low
        return min(self.low, own), max(self.high, own)

    def write(self, table: Table, value: Any) -> None:
        """Gives the table the number, rounded to three digits."""
        if self.read(table) != value:
            put(table, self.field, rounded(value))


@dataclass(frozen=True, kw_only=True)
class Multiple(Range):
    """A number in units of what is usual for the settings before it."""

    usual: Callable[[Table], float]
    """The unit."""

    def read(self, table: Table) -> Any:
        """The number in that unit."""
        return get(table, self.field) / self.usual(table)

    def write(self, table: Table, value: Any) -> None:
        """Gives the table the number, rounded to three digits."""
        if self.read(table) != value:
            put(table, self.field, rounded(value * self.usual(table)))


@dataclass(frozen=True, kw_only=True)
class Widths(Choice):
    """Widths of dense layers, written `64-32`."""

    def read(self, table: Table) -> Any:
        """The widths; empty without layers."""
        return "-".join(map(str, get(table, self.field)))

    def write(self, table: Table, value: Any) -> None:
        """Gives the table the widths."""
        if self.read(table) != value:
            put(table, self.field, [int(width) for width in value.split("-") if width])


@dataclass(frozen=True, kw_only=True)
class Kind(Choice):
    """The kind of a table of options; options that both kinds have are kept."""

    kinds: Kinds[Any]
    """The table of kinds."""
    beside: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By kind, other fields that change with it."""

    def write(self, table: Table, value: Any) -> None:
        """Gives the table the kind with the defaults of its other options."""
        if self.read(table) == value:
            return
        parent = self.field.rpartition(".")[0]
        options = self.kinds.options(value)
        kept = {name: option for name, option in get(table, parent).items() if name in option_names(options)}
        put(table, parent, unstructure(options(**kept)))
        for name, other in self.beside.get(value, {}).items():
            put(table, name, other)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A stage whose settings can be searched."""

    stage: StageName
    """The stage and its table of the configuration."""
    config: type[Any]
    """Class of the table's options."""
    metric: str
    """The stage's objective on the validation split; with a minus sign where less is better."""
    settings: Sequence[Setting]
    """What is searched, in the order in which it is chosen."""
    tries: Sequence[Mapping[str, Any]]
    """Changes by field; each is tried on top of the best so far before the sampler chooses."""
    behind: tuple[StageName, ...] = ()
    """Other stages whose configuration decides about the quality."""
    kept: str = ""
    """Folder of the stage's directory that no setting changes, so that one trial takes it over from another."""


def these(*values: Any) -> Callable[[Start], tuple[Any, ...]]:
    """The same values for every log."""
    return lambda start: values


def multiples(name: str, *factors: float) -> Callable[[Start], tuple[Any, ...]]:
    """Multiples of the value that the search starts from, rounded, at least 1."""
    return lambda start: tuple(max(1, round(get(start.table, name) * factor)) for factor in factors)


def get(table: Table, name: str) -> Any:
    """The field of a dotted name; None if the table has none."""
    value: Any = table
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def put(table: Table, name: str, value: Any) -> None:
    """Sets the field of a dotted name."""
    *parents, last = name.split(".")
    for key in parents:
        table = table[key]
    table[last] = value


def rounded(value: float) -> float:
    """The number with three significant digits.

    >>> rounded(0.0020347)
    0.00203
    """
    return float(f"{value:.{_DIGITS}g}")
