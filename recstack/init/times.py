"""Which column of the interactions says when."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import ROW_ORDER
from beam_pipelines.passes.time_checks import TimeSummary, implausible_times, moment
from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from beam_pipelines.sources.time_formats import TimeFormat, guess_time_format
from beam_pipelines.sources.times import to_seconds
from features.errors import InputError
from recstack.init import names
from recstack.init.questions import Ask, Question
from recstack.init.shapes import other_shape

_FLAG = "--timestamp"
_DOUBTFUL, _NAMED = 0.5, 2.0
_AHEAD = 0.01
_SAME_MOMENT, _DAY = 0.9, 86_400
_SHOWN = 12

_Candidate: TypeAlias = tuple[float, ColumnProfile, TimeFormat]


@dataclass(frozen=True, kw_only=True)
class TimeChoice:
    """The column with the times, or the order of the rows."""

    column: ColumnProfile | None
    """The column; None where rows are taken to stand in the order of their events."""
    format: TimeFormat
    """How the times are written."""
    why: str
    """What spoke for it."""
    is_given: bool = False
    """Whether the caller named it."""

    @property
    def names(self) -> frozenset[str]:
        """The column that has the role."""
        return frozenset({self.column.name} if self.column is not None else ())

    def seconds(self, num_rows: int) -> pa.Int64Array:
        """`[rows] int64` since 1970-01-01 UTC, or the row's place where there are no times."""
        if self.column is None:
            return pa.array(np.arange(num_rows))
        source = TableSource(path="-", timestamp_format=self.format.name or "s")
        return to_seconds(self.column.values, source)


def find_time(events: TableProfile, given: str, others: frozenset[str], ask: Ask) -> TimeChoice:
    """Finds when.

    Args:
        events: the interactions.
        given: the column that the caller names, `row-order`, or nothing.
        others: columns that the caller has given another role.
        ask: answers what is doubtful.

    Raises:
        InputError: no column has times, the one that is named has none, or its times are implausible.
    """
    if given == ROW_ORDER:
        why = "given on the command line: rows that stand later happened later"
        return TimeChoice(column=None, format=TimeFormat(ROW_ORDER, is_order=True), why=why, is_given=True)
    if given:
        return _named(events.column(given), events)
    scored: Sequence[_Candidate] = sorted(_candidates(events, others), key=lambda entry: -entry[0])
    # Times in the future are none, unless nothing else is there to be mended.
    past = [entry for entry in scored if not _is_future(entry[1], entry[2])]
    scored = past or [entry for entry in scored if entry[0] > _NAMED] or _places(events, others, ask)
    if not scored:
        raise _no_time(events)
    best = _finest([entry for entry in scored if entry is scored[0] or _agree(scored[0], entry)])
    rivals = [entry for entry in scored[1:] if best[0] - entry[0] < _DOUBTFUL and not _agree(best, entry)]
    if rivals:
        question = Question(table=events.path, role="time", flag=_FLAG, choices=(best[1], rivals[0][1]))
        chosen = ask(question)
        best = next(entry for entry in scored if entry[1].name == chosen)
    return _checked(_choice(best), events)


def _finest(alike: Sequence[_Candidate]) -> _Candidate:
    """Of columns that tell the same moments: the one that tells most of them apart, numbers before texts."""
    return max(alike, key=lambda entry: (entry[1].distinct, entry[1].kind != "text", entry[0]))


def _places(events: TableProfile, others: frozenset[str], ask: Ask) -> Sequence[_Candidate]:
    """Where nothing tells a moment: the column that is said to number each user's events or orders."""
    found = []
    for column in events.columns:
        rank = next((n for n, word in enumerate(names.PLACE) if word in names.words(column.name)), None)
        how = guess_time_format(column.values) if rank is not None and column.name not in others else None
        if rank is not None and how is not None and how.is_order and not _is_clock(column, how) and _counts(column):
            found.append((rank, column, how))
    if not found:
        return []
    ranked = sorted(found, key=lambda entry: entry[0])
    choices = tuple(column for _, column, _ in ranked[:2])
    chosen = ask(Question(table=events.path, role="order of a user's events", flag=_FLAG, choices=choices))
    return [(_NAMED, column, how) for _, column, how in ranked if column.name == chosen]


def _counts(column: ColumnProfile) -> bool:
    """Whether whole numbers count from 0 or 1 on without large gaps, and come again."""
    values = column.values.drop_null()
    lowest, highest = (int(bound) for bound in pc.min_max(values).as_py().values())
    return lowest in (0, 1) and 2 * column.distinct > highest and column.distinct < 0.5 * len(values)


def _named(column: ColumnProfile, events: TableProfile) -> TimeChoice:
    found = guess_time_format(column.values)
    if found is None:
        first = next(iter(column.examples), "no value at all")
        raise InputError(
            f"{events.path}: --timestamp {column.name}: its values do not read as times, the first is {first!r}; "
            "expected seconds to nanoseconds since 1970, ISO 8601, or a date and time in one notation throughout; name "
            f"another column, or {_FLAG} {ROW_ORDER} if later rows happened later"
        )
    why = f"given on the command line, and {_how(column, found)}"
    return TimeChoice(column=column, format=found, why=why + _alternative(found), is_given=True)


def _candidates(events: TableProfile, others: frozenset[str]) -> Sequence[_Candidate]:
    scored = []
    for column in events.columns:
        found = None if column.name in others else guess_time_format(column.values)
        if found is not None and (score := _score(column, found)) > 0:
            scored.append((score, column, found))
    return scored


def _score(column: ColumnProfile, found: TimeFormat) -> float:
    named = set(names.words(column.name))
    if named & names.IDENTIFIER or _is_clock(column, found):
        # What numbers or names something else, and hours or weekdays, which come again.
        return 0.0
    score = 3.0 * bool(named & names.TIME) - 2.0 * bool(named & names.LATER_TIME) + ("timestamp" in named)
    if found.is_order:
        # Any small whole numbers could be an order; only the name tells.
        return score if named & names.TIME else 0.0
    return score + (1.0 if column.kind == "integer" else 1.5)


def _is_clock(column: ColumnProfile, found: TimeFormat) -> bool:
    most = max((names.CLOCK[word] for word in names.words(column.name) if word in names.CLOCK), default=0)
    return found.is_order and column.distinct <= most


def _is_future(column: ColumnProfile, found: TimeFormat) -> bool:
    return not found.is_order and float(np.mean(_seconds(column, found) > time.time() + _DAY)) > _AHEAD


def _seconds(column: ColumnProfile, found: TimeFormat) -> np.ndarray:
    seconds = to_seconds(column.values, TableSource(path="-", timestamp_format=found.name or "s"))
    return np.asarray(seconds.fill_null(0).to_numpy(zero_copy_only=False))


def _agree(first: _Candidate, second: _Candidate) -> bool:
    """Whether two columns tell the same moments, such as seconds and the same date as a text."""
    apart = np.abs(_seconds(first[1], first[2]) - _seconds(second[1], second[2]))
    return bool(np.mean(apart <= _DAY) >= _SAME_MOMENT)


def _choice(found: _Candidate) -> TimeChoice:
    score, column, how = found
    why = f"named so, and {_how(column, how)}" if score > 2 else _how(column, how)
    return TimeChoice(column=column, format=how, why=why + _alternative(how))


def _how(column: ColumnProfile, found: TimeFormat) -> str:
    if found.is_order:
        return "holds small whole numbers: an order, not a time of day"
    return f"reads as {found.name}" if found.name else f"is of type {column.values.type}"


def _alternative(found: TimeFormat) -> str:
    return f"; {found.alternative} would read it too: check it" if found.alternative else ""


def oddities(choice: TimeChoice, events: TableProfile) -> list[str]:
    """What is wrong with the times, in words; empty where nothing is."""
    seconds = choice.seconds(events.num_rows).drop_null()
    summary = TimeSummary.of(np.asarray(seconds.to_numpy(zero_copy_only=False)), time.time())
    found = list(implausible_times(summary))
    if summary.total > 1 and summary.minimum == summary.maximum:
        found.append(f"all {summary.total:,} times are {moment(summary.minimum)}: nothing tells earlier from later")
    return found


def _checked(choice: TimeChoice, events: TableProfile) -> TimeChoice:
    assert choice.column is not None
    if found := oddities(choice, events):
        name = choice.column.name
        raise InputError(
            f"{events.path}: {name}: {'; '.join(found)}; mend the column, name another one by {_FLAG}, insist on it by "
            f"{_FLAG} {name}, or go by the rows' order with {_FLAG} {ROW_ORDER}"
        )
    return choice


def _no_time(events: TableProfile) -> InputError:
    known = ", ".join(repr(column.name) for column in events.columns[:_SHOWN])
    more = f" and {len(events.columns) - _SHOWN} more" if len(events.columns) > _SHOWN else ""
    named = [column for column in events.columns if set(names.words(column.name)) & names.TIME]
    tried = _tried(named[0]) if named else ""
    return InputError(
        f"{events.path}: no column could be the time of the event{tried}; the columns are {known}{more}; name one by "
        f"{_FLAG} (its position in the user's list will do), or say {_FLAG} {ROW_ORDER} if later rows happened later"
        f"{other_shape(events)}"
    )


def _tried(column: ColumnProfile) -> str:
    """Why a column that is named so is none."""
    first = next(iter(column.examples), "")
    if not first:
        return f" ({column.name!r} is named so, but has no value)"
    parts = [column.values.filter(mask) for mask in _halves(column)]
    read = [guess_time_format(part) for part in parts]
    if parts and all(map(len, parts)) and all(how is not None and not how.is_order for how in read):
        written = " and ".join(f"{len(part):,} like {part[0].as_py()!r}" for part in parts)
        return f" ({column.name!r} is named so, but mixes two notations: {written}; write them alike)"
    digits = column.kind == "integer" and int(pc.min(column.values).as_py()) > time.time()
    trouble = "does not read as one, or lies in the future" if digits else "does not read as one"
    return f" ({column.name!r} is named so, but its first value {first!r} {trouble})"


def _halves(column: ColumnProfile) -> tuple[pa.BooleanArray, ...]:
    """The values of digits alone, and the others."""
    if column.kind != "text":
        return ()
    is_number = pc.match_substring_regex(column.values, r"^\s*\d+\s*$")
    return is_number, pc.invert(is_number)
