"""The columns that each raw table must have, and their meaning, from the schema and the configuration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from beam_pipelines.config import ColumnRule, LabelConfig, PipelineConfig, TableSource
from beam_pipelines.config.source import ROW_ORDER, TableName
from features.errors import ConfigError
from features.schema import Schema
from features.spec.base import ColumnKind, Feature, RawColumn
from features.spec.tasks import Task

ReadKind: TypeAlias = ColumnKind | Literal["rating", "event_type", "items"]

# Columns of the events that are no features; a feature's name is an identifier, so no name is used twice.
RATING = ".rating"
EVENT_TYPE = ".event_type"
EARLIER_ITEMS = ".earlier_items"
# Stands for a column of the rows' numbers in their file.
ROW_NUMBER = ".row"

_KINDS_WITH_RULES = ("token", "text", "number", "list")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column to read."""

    name: str
    """Name in the schema: of a feature, a role, or one of the constants above."""
    source: str
    """Name in the table."""
    kind: ReadKind
    """`token` is a string for a vocabulary file, so it may not contain a line break; `text` is any string; `items` are
    ids in one text, with a blank, comma, semicolon or bar between them."""
    separator: str = ""
    """Separator of the entries of a `list` that is given as a string."""
    length: int = 0
    """Number of components of a `vector`."""
    rule: ColumnRule = ColumnRule()
    """How to treat missing values and outliers."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A raw table."""

    name: TableName
    """Name of the table."""
    source: TableSource
    """Location and format."""
    columns: tuple[Column, ...]
    """Columns to read."""
    key: str
    """Name in the schema of the column whose hash assigns a row to a bucket."""
    event_types: tuple[str, ...] = ()
    """Accepted event types; empty: there is no such column."""


def raw_tables(schema: Schema, config: PipelineConfig) -> tuple[Table, ...]:
    """The tables to read, interactions first.

    Raises:
        ConfigError: a feature needs a table that the configuration does not name.
    """
    tables = (_interactions(schema, config), _items(schema, config), _users(schema, config))
    for table in tables:
        _check_rules(table)
    return tuple(table for table in tables if table.source.is_given)


def _derived_features(schema: Schema, config: PipelineConfig) -> tuple[str, ...]:
    numeric = [f.name for f in schema.context_features if f.column == RawColumn(kind="number")]
    for name, kind in config.derived.items():
        if name not in numeric:
            raise ConfigError(
                f"pipeline.derived.{name}", kind, f"a numeric feature of the interactions, one of {numeric}"
            )
    return tuple(config.derived)


def _check_rules(table: Table) -> None:
    kinds = {column.name: column.kind for column in table.columns if column.kind in _KINDS_WITH_RULES}
    for name, rule in table.source.rules.items():
        path = f"pipeline.{table.name}.rules.{name}"
        if name not in kinds:
            raise ConfigError(path, name, f"one of the table's features: {', '.join(kinds)}")
        if kinds[name] != "number" and rule.is_bounded:
            raise ConfigError(path, kinds[name], "bounds only for numeric features")
        if kinds[name] == "number" and rule.missing == "fill":
            try:
                float(rule.fill)
            except ValueError as error:
                raise ConfigError(f"{path}.fill", rule.fill, "a number") from error


def _interactions(schema: Schema, config: PipelineConfig) -> Table:
    source, label = config.interactions, config.label
    not_read = {schema.timestamp, *_derived_features(schema, config)}
    columns = [
        Column(name=schema.user_id, source=source.column(schema.user_id), kind="id"),
        Column(name=schema.item_id, source=source.column(schema.item_id), kind="id"),
        Column(name=schema.timestamp, source=_time_source(source, schema), kind="time"),
        *(_feature_column(source, f) for f in schema.context_features if f.name not in not_read),
    ]
    if label.rating_column:
        columns.append(Column(name=RATING, source=source.column(label.rating_column), kind="rating"))
    _check_tasks(schema.task, label)
    kinds = schema.history_event_types
    if kinds is not None and not label.event_type_column:
        raise ConfigError("pipeline.label.event_type_column", "", f"the column that {kinds.name} is made of")
    if label.event_type_column:
        columns.append(Column(name=EVENT_TYPE, source=source.column(label.event_type_column), kind="event_type"))
    if source.earlier_items:
        columns.append(Column(name=EARLIER_ITEMS, source=source.earlier_items, kind="items"))
    return Table(
        name="interactions",
        source=source,
        columns=tuple(columns),
        key=schema.user_id,
        event_types=tuple(label.event_weights),
    )


def _check_tasks(tasks: Sequence[Task], label: LabelConfig) -> None:
    """Refuses a task whose label the log does not give."""
    for task in tasks:
        wants_rating = task.type == "regression" or task.threshold is not None
        if wants_rating and not label.rating_column:
            raise ConfigError("pipeline.label.rating_column", "", f"the column with the ratings of task {task.name!r}")
        unknown = sorted(set(task.event_types) - set(label.event_weights))
        if unknown:
            expected = f"event types of pipeline.label.event_weights: {', '.join(label.event_weights) or 'none'}"
            raise ConfigError(f"features.task.{task.name}.event_types", unknown[0], expected)


def _time_source(source: TableSource, schema: Schema) -> str:
    return ROW_NUMBER if source.timestamp_format == ROW_ORDER else source.column(schema.timestamp)


def _items(schema: Schema, config: PipelineConfig) -> Table:
    others = [f for f in schema.candidate if f.name != schema.item_id]
    _require_table("items", config.items, others)
    columns = [Column(name=schema.item_id, source=config.items.column(schema.item_id), kind="id")]
    columns += [_feature_column(config.items, feature) for feature in others]
    return Table(name="items", source=config.items, columns=tuple(columns), key=schema.item_id)


def _users(schema: Schema, config: PipelineConfig) -> Table:
    others = [f for f in schema.user_features if f.name != schema.user_id]
    _require_table("users", config.users, others)
    columns = [Column(name=schema.user_id, source=config.users.column(schema.user_id), kind="id")]
    columns += [_feature_column(config.users, feature) for feature in others]
    return Table(name="users", source=config.users, columns=tuple(columns), key=schema.user_id)


def _require_table(name: TableName, source: TableSource, features: Sequence[Feature]) -> None:
    if features and not source.is_given:
        names = ", ".join(feature.name for feature in features)
        raise ConfigError(f"pipeline.{name}.path", source.path, f"the {name} table, from which {names} are to come")


def _feature_column(source: TableSource, feature: Feature) -> Column:
    column = feature.column
    assert column is not None  # only features that are derived from other columns have none
    rule = source.rules.get(feature.name, ColumnRule())
    return Column(
        name=feature.name,
        source=source.column(feature.name),
        kind=column.kind,
        separator=column.separator,
        length=column.length,
        rule=rule,
    )
