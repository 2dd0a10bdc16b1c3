"""A night that fails says why in one line, is in the log of attempts, and gives the lease back."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from features.disk.layout import Workdir
from features.disk.manifest import Manifest
from features.errors import RecstackError
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.retraining import retrain
from recstack.retraining.config import BudgetsRule
from recstack.retraining.gate.latency import latencies
from recstack.retraining.record import read_record
from tests.checkerboard import write_checkerboard
from tests.recstack.retraining.evidence import RECORD


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


def test_a_store_that_fails_in_the_end_leaves_the_night_recorded_as_published(
    stack: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = replace(stack, export=replace(stack.export, publish_to="nowhere://bucket"))
    layout = stack.layout.retrainings.retraining(RECORD.id)
    settled: list[object] = []
    layout.root.mkdir(parents=True)
    for model in stack.export.models:
        Manifest(kind="saved_model", schema_fingerprint="s", inputs={}).write(stack.layout.model(model).manifest(1))
    monkeypatch.setattr(retrain, "settle_publication", settled.append)
    work = SimpleNamespace(stack=stack, layout=layout, all_live=lambda: True, report=print)
    with pytest.raises(RecstackError, match="saved_models is complete; run `recstack push`"):
        retrain._done(cast(Any, work), RECORD, "live")
    assert settled == [work]
    record = read_record(layout)
    assert record is not None
    assert record.outcome == "published"


@pytest.mark.slow
def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "saved_models").mkdir()
    with pytest.raises(RecstackError, match="the server ended with code"):
        latencies(Workdir(tmp_path), {"retrieval": 1}, BudgetsRule(seconds=1.0), print)
