"""How many ids of the log another table has, and why it lacks the others."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config.source import IdRules
from beam_pipelines.sources.texts import spell_ids

_EXAMPLES = 3
_Cause: TypeAlias = tuple[str, IdRules, tuple[str, ...]]
# A spelling is the cause if it brings this share of the missing ids together.
_EXPLAINS = 0.5
_SPELLINGS = (
    ("white space around ids", IdRules(strip=True)),
    ("a `.0` at the end of ids", IdRules(float_suffix="drop")),
    ("zeros before ids", IdRules(leading_zeros="drop")),
    ("the case of letters", IdRules(case="lower")),
    ("the Unicode form of letters", IdRules(unicode="NFC")),
    ("the Unicode form of characters", IdRules(unicode="NFKC")),
)


@dataclass(frozen=True, kw_only=True)
class JoinCoverage:
    """Ids of the log beside those of the items or users table."""

    table: str
    """`items` or `users`."""
    in_log: int
    """Different ids of the log."""
    found: int
    """Those of them that the table has."""
    in_table: int
    """Different ids of the table."""
    lacking: tuple[str, ...] = ()
    """Examples of ids of the log that the table does not have."""
    unused: tuple[str, ...] = ()
    """Examples of ids of the table that the log does not have."""
    cause: str = ""
    """What keeps the ids apart, if it can be told."""
    rules: IdRules = IdRules()
    """What brings them together."""
    spelt_otherwise: tuple[str, ...] = ()
    """The tables whose ids the rules change: `interactions` and `table`, or one of them."""

    @property
    def mend(self) -> str:
        """The setting that brings the ids together; empty where no cause can be told."""
        if not self.cause:
            return ""
        changed = " and ".join(f"pipeline.{name}" for name in self.spelt_otherwise)
        fields = ", ".join(f"{name} = {_toml(value)}" for name, value in settings_of(self.rules).items())
        return f"ids = {{ {fields} }} in {changed}"

    @property
    def share(self) -> float:
        """Of the log's ids, that the table has."""
        return self.found / self.in_log if self.in_log else 1.0

    @property
    def never_met(self) -> int:
        """Ids of the table that the log does not have."""
        return self.in_table - self.found

    def __str__(self) -> str:
        """One line for a person."""
        text = (
            f"{self.found:,} of the log's {self.in_log:,} {self.table} ({self.share:.1%}) are in the {self.table} table"
        )
        text += f", {self.never_met:,} of its {self.in_table:,} are not in the log"
        if self.lacking:
            text += f"; only in the log: {', '.join(map(repr, self.lacking))}"
        if self.unused:
            text += f"; only in the table: {', '.join(map(repr, self.unused))}"
        return text


def join_coverage(table: str, log_ids: pa.StringArray, table_ids: pa.StringArray) -> JoinCoverage:
    """Compares ids.

    Args:
        table: `items` or `users`.
        log_ids: different ids of the log, without missing ones.
        table_ids: different ids of the table, without missing ones.
    """
    lacking = log_ids.filter(pc.invert(pc.is_in(log_ids, table_ids)))
    unused = table_ids.filter(pc.invert(pc.is_in(table_ids, log_ids)))
    nothing: _Cause = ("", IdRules(), ())
    causes = _causes(table, lacking, unused) if len(lacking) and len(unused) else iter(())
    cause, rules, changed = next(chain(causes, [nothing]))
    return JoinCoverage(
        table=table,
        in_log=len(log_ids),
        found=len(log_ids) - len(lacking),
        in_table=len(table_ids),
        lacking=_first(lacking),
        unused=_first(unused),
        cause=cause,
        rules=rules,
        spelt_otherwise=changed,
    )


def _first(ids: pa.StringArray) -> tuple[str, ...]:
    """The first few in the order of people: `9` before `10`."""
    table = pa.table({"id": ids, "length": pc.utf8_length(ids)})
    order = pc.sort_indices(table, [("length", "ascending"), ("id", "ascending")])
    return tuple(ids.take(order.slice(0, _EXAMPLES)).to_pylist())


def settings_of(rules: IdRules) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    values = {field.name: getattr(rules, field.name) for field in dataclasses.fields(rules)}
    return {name: value for name, value in values.items() if value != getattr(IdRules(), name)}


def _toml(value: str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def _causes(table: str, lacking: pa.StringArray, unused: pa.StringArray) -> Iterator[_Cause]:
    for cause, rules in _SPELLINGS:
        ours, theirs = spell_ids(lacking, rules), spell_ids(unused, rules)
        if pc.mean(pc.is_in(ours, theirs)).as_py() >= _EXPLAINS:
            sides = [("interactions", lacking, ours), (table, unused, theirs)]
            yield cause, rules, tuple(name for name, before, after in sides if not before.equals(after))
