"""`kill -9` of `recstack retrain` in any step, then the same command again: the models of an undisturbed night."""

import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.disk.layout import MODEL_NAMES
from recstack.config import StackConfig
from recstack.retraining.config import BudgetsRule
from recstack.retraining.record import read_records
from tests.checkerboard import write_checkerboard
from tests.end_to_end.test_kills import item_vectors, record_digest

# After the first line with these words comes the end, within a second; the last one is between two publications.
MOMENTS = (
    "prepare: done",
    "train: done",
    "evaluate: done",
    "export: done",
    "asking a server",
    "gate: done",
    "version 1 published",
)
SECONDS = 120.0


def command(config: Path) -> list[str]:
    return [sys.executable, "-m", "recstack", "retrain", "--config", str(config)]


def kill_after(config: Path, words: str, seconds: float) -> None:
    """Kills the process so long after it has said the words; one that has nothing left to do ends without them."""
    process = subprocess.Popen(command(config), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            time.sleep(seconds)
            break
    process.kill()
    process.stderr.close()
    assert process.wait() in (-signal.SIGKILL, 0)


def commands_with(text: str) -> list[str]:
    """Command lines of running processes that hold the text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # has ended
            continue
        if text in line:
            found.append(line)
    return found


@pytest.mark.slow
def test_a_night_killed_in_every_step_ends_as_one_that_was_not(checkerboard: StackConfig, tmp_path: Path) -> None:
    stack = write_checkerboard(tmp_path)
    gate = replace(stack.gate, cutoff=2, budgets=BudgetsRule(largest_p99=60_000.0, seconds=0.5))
    stack = replace(stack, gate=gate)
    config = tmp_path / "stack.toml"
    config.write_text(stack.to_toml())
    draw = random.Random(0)
    for words in MOMENTS:
        kill_after(config, words, 0.0 if words == MOMENTS[-1] else draw.uniform(0.0, 1.0))
        for model in MODEL_NAMES:
            versions = stack.layout.model(model).versions()
            assert versions in ([], [1])
            assert all(stack.layout.model(model).manifest(version).exists() for version in versions)
    # The server that the gate asked has ended with it.
    deadline = time.monotonic() + SECONDS
    while commands_with(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert commands_with(str(tmp_path)) == []
    done = subprocess.run(command(config), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]

    for model in MODEL_NAMES:
        assert [path.name for path in stack.layout.model(model).base.iterdir()] == ["1"]
    (record,) = read_records(stack.layout.retrainings)
    assert (record.outcome, record.published) == ("published", dict.fromkeys(MODEL_NAMES, 1))
    assert not stack.layout.retrainings.lease.exists()
    assert record_digest(stack) == record_digest(checkerboard)
    np.testing.assert_allclose(item_vectors(stack), item_vectors(checkerboard), rtol=1e-5, atol=1e-6)
