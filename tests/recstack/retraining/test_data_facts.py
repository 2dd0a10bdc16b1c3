"""What the rule on data finds in datasets of spoilt tables, prepared as every night's are."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.disk.layout import DatasetLayout
from recstack import stages
from recstack.config import StackConfig
from recstack.retraining.config import GateConfig
from recstack.retraining.gate.data import data_are_sound
from recstack.retraining.gate.data_facts import facts_of_dataset
from tests.checkerboard import NUM_ITEMS, write_checkerboard
from tests.recstack.retraining.evidence import evidence

LARGEST_REJECTS = 1.0  # what `prepare` itself would refuse before the gate sees it


def dataset_of(folder: Path, rows: list[str]) -> DatasetLayout:
    """The checkerboard's dataset with these lines of its log."""
    folder.mkdir()
    stack = write_checkerboard(folder)
    table = Path(stack.pipeline.interactions.path)
    table.write_text("\n".join([table.read_text("utf-8").splitlines()[0], *rows]) + "\n", "utf-8")
    pipeline = replace(stack.pipeline, max_reject_ratio=LARGEST_REJECTS)
    stages.prepare(replace(stack, pipeline=pipeline))
    return stack.layout.dataset


def log(stack: StackConfig) -> list[str]:
    return Path(stack.pipeline.interactions.path).read_text("utf-8").splitlines()[1:]


@pytest.mark.slow
def test_spoilt_tables_are_refused(checkerboard: StackConfig, tmp_path: Path) -> None:
    rows = log(checkerboard)
    live = facts_of_dataset(checkerboard.layout.dataset, NUM_ITEMS)

    def refused(name: str, rows: list[str]) -> set[str]:
        facts = facts_of_dataset(dataset_of(tmp_path / name, rows), NUM_ITEMS)
        checks = data_are_sound(evidence(data=facts, live_data=live, drift={}), GateConfig())
        return {check.what for check in checks if not check.passed}

    older = "days from the live model's newest event to the newest one"
    later = [row.rpartition(",")[0] + f",{int(row.rpartition(',')[2]) + 86_400}" for row in rows]
    assert refused("later", later) == set()
    assert refused("same moments", [*rows, rows[0].replace("u0", "u1")]) == {older}
    assert refused("doubled", [*later, *later]) == {"share of the rows that repeat another one"}
    # Of each user, the later half of the events.
    assert refused("half missing", later[: len(later) // 2]) == {"events, of the live model's"}
    without_time = [row if number % 3 else row.rpartition(",")[0] + "," for number, row in enumerate(later)]
    assert "share of the rows that were refused" in refused("without times", without_time)
