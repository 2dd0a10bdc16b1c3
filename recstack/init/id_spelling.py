"""How ids have to be spelt so that the tables mean the same users and items, and how many then meet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import IdRules
from beam_pipelines.profile.raw_table import ColumnProfile
from beam_pipelines.sources.joins import JoinCoverage, join_coverage, settings_of
from beam_pipelines.sources.texts import suggest_id_rules
from features.errors import InputError
from recstack.init.proposal import Setting

_LEAST_COVERAGE = 0.5


@dataclass(frozen=True, kw_only=True)
class IdColumn:
    """A column of ids and the table it stands in."""

    table: str
    """`interactions`, `items` or `users`."""
    column: ColumnProfile
    """The ids."""
    source: TableSource
    """How the table is read."""

    def ids(self, rules: IdRules) -> pa.StringArray:
        """`[n]` the different ids, as `prepare` spells them by the rules."""
        return self.column.ids(replace(self.source, ids=rules)).drop_null().unique()


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """The rules of each table, and what the joins give with them."""

    rules: Mapping[str, IdRules]
    """By table; tables that need none are missing."""
    settings: tuple[Setting, ...]
    """`ids` of the tables that need rules."""
    coverages: tuple[JoinCoverage, ...]
    """One for each table beside the interactions."""


def find_spelling(columns: Sequence[IdColumn], joins: Sequence[tuple[IdColumn, IdColumn]]) -> Spelling:
    """Finds the rules by the ids themselves, then by the joins that fail without them.

    Args:
        columns: all columns of ids.
        joins: the log's column and the other table's, of items and of users.

    Raises:
        InputError: fewer than half of the log's ids are in another table, and no spelling explains it.
    """
    rules: dict[str, IdRules] = {}
    reasons: dict[str, list[str]] = {}
    for column in columns:
        found, why = suggest_id_rules(column.column.ids(column.source))
        if settings_of(found):
            rules[column.table] = _merged(rules.get(column.table), found)
            reasons.setdefault(column.table, []).append(f"{column.column.name}: {why}")
    coverages = []
    for log, other in joins:
        coverage = _coverage(log, other, rules)
        if coverage.cause:
            for table in coverage.spelt_otherwise:
                rules[table] = _merged(rules.get(table), coverage.rules)
                reasons.setdefault(table, []).append(f"{coverage.cause} keep ids apart from the {other.table} table")
            coverage = _coverage(log, other, rules)
        if coverage.share < _LEAST_COVERAGE:
            raise InputError(
                f"{other.source.path}: {coverage}; at least {_LEAST_COVERAGE:.0%} are expected: is "
                f"{other.column.name!r} the column that names them, and {log.column.name!r} the log's?"
            )
        coverages.append(coverage)
    settings = tuple(
        Setting(table=f"pipeline.{table}", name="ids", value=settings_of(rules[table]), why="; ".join(why))
        for table, why in reasons.items()
    )
    return Spelling(rules=rules, settings=settings, coverages=tuple(coverages))


def _coverage(log: IdColumn, other: IdColumn, rules: Mapping[str, IdRules]) -> JoinCoverage:
    sides = [side.ids(rules.get(side.table, IdRules())) for side in (log, other)]
    return join_coverage(other.table, *sides)


def _merged(first: IdRules | None, second: IdRules) -> IdRules:
    return replace(first or IdRules(), **settings_of(second))
