"""What comes later must not show: training output is the same whatever the future holds.

The future of a dataset is changed (other items, devices and prices, at the same times); nothing made from the past may
differ. Then leaks are planted, one in each place that decides what is seen, and the same comparison has to notice.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beam_pipelines.config import NegativesConfig, SplitConfig
from beam_pipelines.passes import learning, ranking_examples, shards
from beam_pipelines.passes.item_times import ItemTimes
from beam_pipelines.passes.splits import TEST
from features.encoding.statistics import Statistics
from features.schema import Schema
from tests.beam_pipelines.conftest import Prepared, Rows, prepare

_USERS, _EVENTS = 12, 10
_SPLITS = {
    "global_time": SplitConfig(kind="global_time", validation=0.2, test=0.2),
    "leave_last_out": SplitConfig(kind="leave_last_out"),
    "per_user_fraction": SplitConfig(kind="per_user_fraction", validation=0.2, test=0.2),
}
# Of ten events a user, how many the splits leave before the test.
_BEFORE_TEST = {"global_time": 8, "leave_last_out": 9, "per_user_fraction": 8}


def rows(future: str, before_test: int) -> Rows:
    """Each user has one event a day; from `before_test` on, what happens depends on the future."""
    rng = np.random.default_rng(0)
    past = [
        {
            "user_id": f"u{user}",
            "item_id": f"i{rng.integers(8)}",
            "timestamp": day * 86_400 + user,
            "device": f"d{rng.integers(3)}",
            "price": float(rng.integers(100)),
        }
        for user in range(_USERS)
        for day in range(_EVENTS)
    ]
    # One item and one device, frequent in the future, are known to the past, so that counts could move too.
    change = {"item_id": "i1" if future == "a" else "from the future", "device": "d0" if future == "a" else "hologram"}
    change["price"] = 50.0 if future == "a" else 1e6
    return [row | change if row["timestamp"] // 86_400 >= before_test else row for row in past]


def past_of(prepared: Prepared) -> dict[str, Any]:
    """Everything that was made before the test began."""
    found: dict[str, Any] = {}
    for kind, by_split in (("retrieval", prepared.retrieval()), ("ranking", prepared.ranking())):
        for split in ("train", "validation"):
            found[f"{kind} {split}"] = sorted(map(repr, by_split[split]))
    for name in ("user_id", "item_id", "device"):
        found[f"vocabulary {name}"] = prepared.tokens(name)
    statistics = Statistics.read(prepared.dataset.statistics)
    found["statistics"] = (statistics.num_users, statistics.num_interactions, statistics.numeric)
    found["frequencies"] = {
        r["item_id"][0]: r["train_frequency"][0] for r in prepared.candidates() if r["train_frequency"][0]
    }
    return found


def differences(tmp_path: Path, schema: Schema, kind: str) -> set[str]:
    """What differs between two futures."""
    pasts = [
        past_of(
            prepare(
                tmp_path,
                replace(schema, item_events=True),
                interactions=rows(future, _BEFORE_TEST[kind]),
                items=[{"item_id": f"i{n}", "brand": "b"} for n in range(8)],
                split=_SPLITS[kind],
                negatives=NegativesConfig(kind="popularity", per_positive=3),
                num_shards=2,
                out=future,
            )
        )
        for future in "ab"
    ]
    return {name for name in pasts[0] if pasts[0][name] != pasts[1][name]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(_SPLITS))
def test_nothing_made_from_the_past_depends_on_the_future(tmp_path: Path, plain_schema: Schema, kind: str) -> None:
    assert differences(tmp_path, plain_schema, kind) == set()


def _learn_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = learning.load_partition

    def all_training(partition: int, job: Any) -> Any:
        found = honest(partition, job)
        return replace(found, split=np.zeros_like(found.split))

    monkeypatch.setattr(learning, "load_partition", all_training)


def _context_from_all(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = shards.make_windows

    def with_future(starts: Any, times: Any, *, targets: Any, context: Any, limits: Any) -> Any:
        return honest(starts, times, targets=targets, context=np.ones_like(context), limits=limits)

    monkeypatch.setattr(shards, "make_windows", with_future)


def _negatives_avoid_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every positive of a user counts as known, later ones too."""
    honest = ranking_examples.known_interactions
    monkeypatch.setattr(ranking_examples, "known_interactions", lambda examples, place: honest(examples, TEST))


def _counters_of_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    """An item's counter counts all of its interactions, whenever they were."""
    honest = ItemTimes.before

    def all_of_them(times: ItemTimes, items: Any, moments: Any, place: int) -> Any:
        return honest(times, items, np.full_like(moments, 2**31), TEST)

    monkeypatch.setattr(ItemTimes, "before", all_of_them)


@pytest.mark.parametrize(
    ("plant", "noticed"),
    [
        (_learn_from_all, {"vocabulary item_id", "vocabulary device", "statistics", "frequencies", "ranking train"}),
        (_context_from_all, {"retrieval validation", "ranking validation"}),
        (_negatives_avoid_the_future, {"ranking train", "ranking validation"}),
        (_counters_of_the_future, {"ranking train", "ranking validation"}),
    ],
)
@pytest.mark.slow
def test_a_planted_leak_is_noticed(
    tmp_path: Path,
    plain_schema: Schema,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    noticed: set[str],
) -> None:
    plant(monkeypatch)
    assert differences(tmp_path, plain_schema, "global_time") >= noticed
