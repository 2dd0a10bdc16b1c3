"""The list ranker, the second stage: whether the log has enough to learn it from, and how its folds are cut."""

from collections.abc import Iterable, Iterator

import numpy as np

from recstack.init.log import Log
from recstack.init.proposal import Setting
from trainer.config.cascade import ListRankerConfig

_TABLE = "list_ranking"
# On MovieLens 168 users were enough for a gain over retrieval, 67 were not (docs/ranking.md).
_LEAST_USERS, _LEAST_EVENTS = 150, 4
# Beyond it nothing has been measured.
_MOST_ITEMS = 100_000
_MOST_CANDIDATES, _MOST_HISTORY, _MOST_NEIGHBOURS = 300, 300, 300
# Six tables hold an id and a number, four bytes each, for each neighbour of an item.
_TABLE_BYTES, _NEIGHBOUR_BYTES = 500e6, 6 * 8
_LEAST_EARLIER = 0.3
_DEFAULT = ListRankerConfig()


def choose_cascade(log: Log, split: Iterable[Setting]) -> Iterator[Setting]:
    """`[list_ranking]`: on where the log can teach it; whether it is served, validation decides.

    Args:
        log: The events.
        split: The settings of `pipeline.split`, whose shape the folds take.
    """
    shape = {setting.name: setting.value for setting in split}
    reason = _against(log, shape)
    if reason:
        why = f"{reason}; else it would order what retrieval finds"
        yield Setting(table=_TABLE, name="enabled", value=True, why=why, active=False)
        return
    why = (
        f"{_learners(log):,} users have {_LEAST_EVENTS} events or more to learn from what retrieval finds for them; it "
        f"is served if its gain on validation is certain; retrieval is trained {folds_of(log)} more times for it"
    )
    yield Setting(table=_TABLE, name="enabled", value=True, why=why)
    if folds_of(log) < _DEFAULT.folds:
        why = f"its window alone has the {_DEFAULT.max_lists:,} lists that the ranker learns from at most"
        yield Setting(table=_TABLE, name="folds", value=folds_of(log), why=why)
    yield from _folds(shape)
    yield from _sizes(log)


def folds_of(log: Log) -> int:
    """`list_ranking.folds`: 1 where one fold already gives `max_lists` training lists, else the default."""
    return 1 if _learners(log) >= _DEFAULT.max_lists else _DEFAULT.folds


def _learners(log: Log) -> int:
    return int((np.bincount(log.users) >= _LEAST_EVENTS).sum() / log.share)


def _against(log: Log, shape: dict[str, object]) -> str:
    """Why the log cannot teach it; empty if it can."""
    if _learners(log) < _LEAST_USERS:
        return f"only {_learners(log):,} users have {_LEAST_EVENTS} events or more, {_LEAST_USERS} are needed"
    if shape.get("validation", 1) == 0 or log.num_moments == 1:
        return "no later events are held out for validation"
    if _earlier_share(shape) < _LEAST_EARLIER:
        return "the split leaves too few earlier events to train retrieval on"
    if log.num_items > _MOST_ITEMS:
        return f"its tables of item pairs have not been tried with more than {_MOST_ITEMS:,} items"
    return ""


def _earlier_share(shape: dict[str, object]) -> float:
    if shape["kind"] == "leave_last_out":
        return 1.0
    return 1.0 - float(str(shape["validation"])) - _DEFAULT.folds * float(str(shape["test"]))


def _folds(shape: dict[str, object]) -> Iterator[Setting]:
    yield Setting(table=_TABLE, name="fold_kind", value=shape["kind"], why="as pipeline.split.kind")
    if shape["kind"] != "leave_last_out":
        yield Setting(table=_TABLE, name="gap", value=shape["validation"], why="as pipeline.split.validation")
        yield Setting(table=_TABLE, name="window", value=shape["test"], why="as pipeline.split.test")


def _sizes(log: Log) -> Iterator[Setting]:
    items = log.num_items
    if items < 2 * _MOST_CANDIDATES:
        value, why = max(1, items // 2), f"half of {items:,} items; ranking all would need no retrieval"
        yield Setting(table=_TABLE, name="candidates", value=value, why=why)
    if not log.is_order and log.num_moments > 1:
        why = (
            "counts of recent events as of the day before, as they are where `recstack retrain` or `recstack export "
            "--refresh-index` runs each night; 0 if you export less often"
        )
        yield Setting(table=_TABLE, name="refresh_days", value=1.0, why=why)
    history = int(np.clip(-(-log.events_a_user(0.9) // 10) * 10, 20, _MOST_HISTORY))
    yield Setting(table=_TABLE, name="history", value=history, why="items that candidates are compared with")
    neighbours = int(min(_MOST_NEIGHBOURS, _TABLE_BYTES // (_NEIGHBOUR_BYTES * items)))
    if neighbours < _MOST_NEIGHBOURS:
        why = f"{_TABLE_BYTES / 1e6:,.0f} MB of tables in the SavedModel for {items:,} items"
        yield Setting(table=_TABLE, name="neighbours", value=neighbours, why=why)
