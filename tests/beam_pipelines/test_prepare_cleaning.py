"""The whole job on small tables: what is cleaned away, derived, or beyond a fold."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from beam_pipelines.config import CleaningConfig, SplitConfig
from features.encoding.statistics import Statistics
from features.errors import InputError
from features.schema import Schema
from features.spec.ids import IdFeature
from features.spec.numeric import NumericFeature
from tests.beam_pipelines.conftest import events_of, prepare


def core_by_hand(pairs: set[tuple[str, str]], least: int) -> set[tuple[str, str]]:
    """Takes users and items away one by one."""
    while True:
        counts = Counter(end for u, i in pairs for end in ((0, u), (1, i)))
        kept = {(u, i) for u, i in pairs if counts[0, u] >= least and counts[1, i] >= least}
        if kept == pairs:
            return kept
        pairs = kept


@pytest.mark.slow
@pytest.mark.parametrize("core_of", ["training", "all"])
def test_the_core_is_iterated_to_its_fixed_point(tmp_path: Path, ids_only: Schema, core_of: str) -> None:
    rng = np.random.default_rng(3)
    pairs = {(f"u{rng.integers(30)}", f"i{rng.integers(30)}") for _ in range(120)}
    # A chain that falls apart from its end, one round for each link.
    pairs |= {(f"chain{n}", f"link{n + step}") for n in range(4) for step in (0, 1, 2)}
    rows = [{"user_id": u, "item_id": i, "timestamp": n} for n, (u, i) in enumerate(sorted(pairs))]
    cleaning = CleaningConfig(min_user_events=3, min_item_events=3, core_of=core_of)
    held_out = 0.0 if core_of == "all" else 0.2
    split = SplitConfig(validation=0.0, test=held_out)
    found = prepare(tmp_path, ids_only, interactions=rows, split=split, cleaning=cleaning, num_shards=2)
    train = {
        pair
        for r in found.retrieval()["train"]
        for pair in ((e[0], e[1]) for e in events_of(r, ids_only, targets=True))
    }
    test = {(e[0], e[1]) for r in found.retrieval()["test"] for e in events_of(r, ids_only, targets=True)}
    first_test = found.manifest.metrics["first_second"]["test"]
    past = {(row["user_id"], row["item_id"]) for row in rows if row["timestamp"] < first_test}
    assert train == core_by_hand(past, 3)
    assert 0 < len(train) < len(past)
    assert test == pairs - past
    assert found.manifest.counts["outside_core"] == len(past) - len(train)


def test_cleaning_is_counted(tmp_path: Path, ids_only: Schema) -> None:
    rows = [{"user_id": "u", "item_id": "i", "timestamp": second} for second in (0, 3, 100)]
    rows += [{"user_id": "bot", "item_id": f"i{n}", "timestamp": n} for n in range(10)]
    cleaning = CleaningConfig(duplicate_seconds=5, max_events_per_day=4)
    found = prepare(
        tmp_path, ids_only, interactions=rows, cleaning=cleaning, split=SplitConfig(test=0.0, validation=0.0)
    )
    counts = found.manifest.counts
    assert (counts["near_duplicates"], counts["bot_events"], counts["events_train"]) == (1, 6, 6)


def test_derived_features_are_computed_not_read(tmp_path: Path) -> None:
    schema = Schema(
        query=(IdFeature(name="user_id"), NumericFeature(name="so_far")), candidate=(IdFeature(name="item_id"),)
    )
    rows = [{"user_id": "u", "item_id": f"i{n}", "timestamp": n} for n in range(5)]
    derived = {"so_far": "user_events"}
    found = prepare(tmp_path, schema, interactions=rows, derived=derived, split=SplitConfig(kind="leave_last_out"))
    [test] = found.retrieval()["test"]
    assert test["so_far"] == [0, 1, 2, 3, 4]
    assert Statistics.read(found.dataset.statistics).numeric["so_far"].maximum == 2
    with pytest.raises(InputError, match=r"pipeline\.derived\.other = 'user_events': expected a numeric feature"):
        prepare(tmp_path, schema, interactions=rows, derived={"other": "user_events"})


def test_a_fold_of_a_rolling_origin_knows_nothing_of_what_it_takes_away(tmp_path: Path, ids_only: Schema) -> None:
    rows = [{"user_id": f"u{n % 2}", "item_id": f"i{n}", "timestamp": n} for n in range(20)]
    split = SplitConfig(validation=0.1, test=0.2, fold=1)
    found = prepare(tmp_path, ids_only, interactions=rows, split=split)
    by_split = {
        name: sorted(second for r in records for _, _, second in events_of(r, ids_only, targets=True))
        for name, records in found.retrieval().items()
    }
    assert by_split == {"train": list(range(10)), "validation": [10, 11], "test": [12, 13, 14, 15]}
    assert len(found.candidates()) == 16
