"""What a person should know about the tables before going on: all that would come out wrong without a word."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from beam_pipelines.profile.raw_table import TableProfile
from beam_pipelines.sources.joins import JoinCoverage
from recstack.init.labels import Labels
from recstack.init.log import Log
from recstack.init.refusals import Refusals
from recstack.init.roles import Roles


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
