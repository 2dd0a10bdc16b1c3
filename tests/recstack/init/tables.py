"""A log and a catalogue that the tests write in many ways, and what `init` and `prepare` make of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import DatasetLayout
from recstack.__main__ import main
from recstack.config import StackConfig, load_config

NUM_USERS, NUM_ITEMS, EVENTS_A_USER = 40, 30, 12
START, DAY = 1_700_000_000, 86_400


def log() -> pd.DataFrame:
    """Each user has an event every second day; seconds differ."""
    users = np.repeat(np.arange(1, NUM_USERS + 1), EVENTS_A_USER)
    turn = np.tile(np.arange(EVENTS_A_USER), NUM_USERS)
    seconds = START + turn * 2 * DAY + users * 977
    table = pd.DataFrame({"user_id": users, "item_id": (users * 7 + turn * 3) % NUM_ITEMS + 1, "timestamp": seconds})
    return table.sort_values("timestamp", kind="stable", ignore_index=True)


def items() -> pd.DataFrame:
    numbers = np.arange(1, NUM_ITEMS + 1)
    titles = [f"a title of number {n}" for n in numbers]
    return pd.DataFrame({"item_id": numbers, "title": titles, "price": 0.25 + numbers})


def written(table: pd.DataFrame, path: Path, **options: object) -> str:
    table.to_csv(path, index=False, **options)
    return str(path)


def stack_of(folder: Path, *arguments: str) -> StackConfig:
    output = folder / "made.toml"
    assert main(["init", "--force", "--output", str(output), *arguments]) == 0
    return load_config(output)


def refusal(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    output = folder / "refused.toml"
    assert main(["init", "--output", str(output), *arguments]) == 2
    assert not output.exists()
    return capsys.readouterr().err


def counts(stack: StackConfig, folder: Path) -> dict[str, int]:
    """What `prepare` makes of the configuration as it is."""
    layout = DatasetLayout(folder / "dataset")
    return dict(prepare_dataset(stack.features, replace(stack.pipeline, report=False), layout, seed=1).manifest.counts)
