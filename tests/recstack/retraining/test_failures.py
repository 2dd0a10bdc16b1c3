"""A night that fails says why in one line, is in the log of attempts, and gives the lease back."""

import json
from pathlib import Path

import pytest

from features.disk.layout import Workdir
from features.errors import RecstackError
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.retraining.config import BudgetsRule
from recstack.retraining.gate.latency import latencies
from tests.checkerboard import write_checkerboard


@pytest.fixture
def stack(tmp_path: Path) -> StackConfig:
    """A recommender whose log has vanished."""
    stack = write_checkerboard(tmp_path)
    Path(stack.pipeline.interactions.path).unlink()
    (tmp_path / "stack.toml").write_text(stack.to_toml())
    return stack


def night(stack: StackConfig) -> int:
    return main(["retrain", "--config", str(stack.workdir.parent / "stack.toml")])


def test_a_vanished_source(stack: StackConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert night(stack) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert stack.pipeline.interactions.path in line
    (attempt,) = map(json.loads, stack.layout.retrainings.attempts.read_text().splitlines())
    assert (attempt["outcome"], attempt["step"]) == ("failed", "prepare")
    assert attempt["error"] in line
    assert [path.name for path in stack.layout.retrainings.root.iterdir()] == ["attempts.jsonl"]


def test_a_log_of_attempts_that_cannot_be_written_hides_no_error(
    stack: StackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.layout.retrainings.attempts.mkdir(parents=True)
    assert night(stack) == 2
    noted, failed = capsys.readouterr().err.splitlines()
    assert "attempts.jsonl: cannot be written" in noted
    assert stack.pipeline.interactions.path in failed


@pytest.mark.slow
def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "saved_models").mkdir()
    with pytest.raises(RecstackError, match="the server ended with code"):
        latencies(Workdir(tmp_path), {"retrieval": 1}, BudgetsRule(seconds=1.0), print)
