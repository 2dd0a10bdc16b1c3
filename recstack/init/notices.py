"""What a person should know about the tables before going on: all that would come out wrong without a word."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow.compute as pc

from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from beam_pipelines.sources.joins import JoinCoverage
from recstack.init import names
from recstack.init.labels import Labels
from recstack.init.log import Log
from recstack.init.refusals import Refusals
from recstack.init.roles import Roles, shortened

_FEW_WORDS, _LOOKED_AT, _MOST = 20, 1000, 0.9
_CLOCK = r"^\s*\d{1,2}:\d{2}(:\d{2})?([.]\d+)?\s*([AaPp]\.?[Mm]\.?)?\s*$"


def notices_of(
    tables: Mapping[str, TableProfile],
    roles: Roles,
    log: Log,
    labels: Labels,
    coverages: Sequence[JoinCoverage],
    refusals: Sequence[Refusals],
) -> Iterator[str]:
    """One line each."""
    yield from (str(one) for one in refusals if one.refused)
    for table in tables.values():
        if table.num_refused:
            yield f"{table.path}: the first line that is no row: {table.refused[0][:200]}"
        if table.continuation_lines:
            yield f"{table.path}: {table.continuation_lines:,} lines continue a row inside quotes"
    yield from map(str, coverages)
    yield from _of_times(tables["interactions"], roles)
    yield from labels.notices
    yield from _of_columns(tables["interactions"], roles, labels)
    yield from _of_log(log)


def _of_times(events: TableProfile, roles: Roles) -> Iterator[str]:
    if roles.time.column is None:
        yield (
            f"{events.path} has no times: later rows are taken for later events; "
            "nothing can be split by time, and nothing tells how long ago an event was"
        )
    elif roles.time.format.is_order:
        yield f"{roles.time.column.name} is an order of events without dates: nothing can be split by time"
    if other := roles.time.format.alternative:
        yield f"times are read as {roles.time.format.name}, but {other} would read them too: check which is meant"


def _of_columns(events: TableProfile, roles: Roles, labels: Labels) -> Iterator[str]:
    """Columns that would change the meaning of the events, if they were read."""
    for choice in (roles.user, roles.item):
        yield from _of_ids(choice.column)
    for column in events.columns:
        if column.name not in roles.names | labels.columns:
            yield from _of_quantity(column)
            yield from _of_words(column) if not labels.columns else ()
            yield from _of_clock(column, roles)


def _of_quantity(column: ColumnProfile) -> Iterator[str]:
    if column.kind not in ("integer", "number") or not set(names.words(column.name)) & names.QUANTITY:
        return
    if count := int(pc.sum(pc.less(column.values, 0)).as_py() or 0):
        yield (
            f"{column.name}: {count:,} events are negative, as returned or cancelled ones are, and count like all "
            "others: remove them from the log"
        )


def _of_words(column: ColumnProfile) -> Iterator[str]:
    is_named = bool(set(names.words(column.name)) & names.RATING)
    if is_named and column.kind == "text" and 1 < column.distinct <= _FEW_WORDS:
        shown = ", ".join(column.examples)
        yield f"{column.name} is named like a rating and holds words ({shown}): write numbers to make it one"


def _of_clock(column: ColumnProfile, roles: Roles) -> Iterator[str]:
    """A time of day beside days."""
    days = roles.time.column
    if days is None or days.kind != "text" or ":" in days.examples[0] or roles.time.format.is_order:
        return
    if _is_clock(column):
        yield (
            f"{days.name} has days only, and {column.name} the time of day, which is not read: events of one day have "
            f"no order; join the two columns, such as pandas' table[{days.name!r}] + ' ' + table[{column.name!r}]"
        )


def _of_ids(column: ColumnProfile) -> Iterator[str]:
    """Ids of which a spreadsheet kept the first digits, so that many became one."""
    if len(short := shortened(column)):
        yield (
            f"{column.name}: {len(short):,} ids are written like {short[0].as_py()!r}, which is what spreadsheets "
            "leave of long numbers: export the table once more with its ids as text"
        )


def _is_clock(column: ColumnProfile) -> bool:
    """Whether texts are times of day, such as 13:05 or 1:05:09 PM."""
    if column.kind != "text":
        return False
    present = column.values.drop_null().slice(0, _LOOKED_AT)
    return float(pc.mean(pc.match_substring_regex(present, _CLOCK)).as_py() or 0) > _MOST


def _of_log(log: Log) -> Iterator[str]:
    if log.num_users == 1:
        yield "all events are of one user: nothing is learnt of what users have in common"
    elif int(np.bincount(log.users).max()) == 1:
        yield (
            "every user has one event: there are no histories to learn from or to predict from, and the splits of each "
            "user's events come out empty; is another column the user?"
        )
    if log.num_items == 1:
        yield "all events are of one item: there is nothing to choose from"
