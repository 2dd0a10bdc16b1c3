"""A rollback while a night is at work: what the night publishes was compared with the models that are back."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from features.disk.layout import MODEL_NAMES, ModelName, Workdir
from features.disk.manifest import read_manifest
from recstack.config import StackConfig
from recstack.retraining.gate.decision import Decision, read_decision
from recstack.retraining.record import RetrainingRecord
from recstack.retraining.release import changing_models, newest_versions
from recstack.retraining.retrain import _Clock, _judge_and_publish
from recstack.retraining.rollback import roll_back_models
from recstack.retraining.steps import STEPS, judged_fingerprints
from recstack.retraining.work import Work
from trainer.export import publish
from trainer.export.publish import StagedVersion, stage_copy


def made_of(data: str, model: ModelName, stack: StackConfig, target: Workdir) -> None:
    """Publishes the checkerboard's version of a model once more, as if it had been made from other data."""
    staged = stage_copy(stack.layout.model(model).version(1), target.model(model))
    manifest = read_manifest(staged.extra.manifest, "saved_model")
    inputs = {**manifest.inputs, "dataset": data} if data else manifest.inputs
    replace(manifest, inputs=inputs).write(staged.extra.manifest)
    publish.publish(staged)


@pytest.fixture
def work(checkerboard: StackConfig, tmp_path: Path) -> Work:
    """A night before its gate: two versions are published, the second one is live, and a third one is staged."""
    for part in ("dataset", "runs"):
        shutil.copytree(checkerboard.workdir / part, tmp_path / "work" / part)
    stack = replace(checkerboard, workdir=tmp_path / "work")
    lease: Any = SimpleNamespace(require=lambda: None)
    said: list[str] = []
    night = Work(stack=stack, lease=lease, report=said.append)
    for model in MODEL_NAMES:
        made_of("first", model, checkerboard, stack.layout)
        made_of("second", model, checkerboard, stack.layout)
        made_of("", model, checkerboard, night.layout.staged)
    return night


def judging(judged: list[dict[str, str]]) -> Callable[[Work], bool]:
    """A gate that lets everything pass, and remembers which live models it compared with."""

    def gate(work: Work) -> bool:
        inputs, live = judged_fingerprints(work)
        known = read_decision(work.layout.gate)
        if known is not None and known.still_holds(inputs, live):
            return True
        judged.append(live)
        Decision(inputs=inputs, live=live, queries=1, checks=()).write(work.layout.gate)
        return False

    return gate


def rolled_back_meanwhile(stack: StackConfig, stage: Callable[..., StagedVersion]) -> Callable[..., StagedVersion]:
    """Stages versions; a person rolls the live models back while the first one is copied."""

    def stage_and_roll_back(*arguments: Any) -> StagedVersion:
        if newest_versions(stack)["retrieval"] == 2:
            roll_back_models(stack, stack.export.models, reason="complaints")
        return stage(*arguments)

    return stage_and_roll_back


def fingerprints(stack: StackConfig, version: int) -> dict[str, str]:
    manifests = {model: stack.layout.model(model).manifest(version) for model in MODEL_NAMES}
    return {model: read_manifest(path, "saved_model").fingerprint() for model, path in manifests.items()}


def published(work: Work) -> RetrainingRecord:
    record = RetrainingRecord(
        id=work.layout.id, began="", updated="", run=work.run.id, parent="", dataset="", window=("", ""), code=""
    )
    return _judge_and_publish(work, record, _Clock(work))[0]


@pytest.mark.slow
def test_the_gate_judges_again_after_a_rollback(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[dict[str, str]] = []
    monkeypatch.setitem(cast("dict[str, Any]", STEPS), "gate", judging(judged))
    monkeypatch.setattr(publish, "stage_copy", rolled_back_meanwhile(work.stack, publish.stage_copy))
    second = fingerprints(work.stack, 2)
    assert published(work).published == dict.fromkeys(MODEL_NAMES, 4)
    assert judged == [second, fingerprints(work.stack, 3)]
    said = cast("list[str]", cast("Any", work.report).__self__)
    assert sum("the gate judges again" in line for line in said) == 1
    assert not list(work.stack.layout.saved_models.glob("*/.*"))  # what was staged first is gone


@pytest.mark.slow
def test_without_a_rollback_the_gate_judges_once(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[dict[str, str]] = []
    monkeypatch.setitem(cast("dict[str, Any]", STEPS), "gate", judging(judged))
    assert published(work).published == dict.fromkeys(MODEL_NAMES, 3)
    assert judged == [fingerprints(work.stack, 2)]


def test_where_nothing_was_retrained_no_folder_is_made(tmp_path: Path) -> None:
    stack: Any = SimpleNamespace(layout=Workdir(tmp_path / "work"))
    with changing_models(stack):
        assert not (tmp_path / "work").exists()
