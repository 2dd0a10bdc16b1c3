"""`recstack promote` and `recstack rollback` move the label `stable`, over versions that nobody has trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.disk.layout import MODEL_NAMES
from features.disk.manifest import Manifest
from recstack.__main__ import main
from recstack.config import StackConfig, load_config
from recstack.retraining.config import RetrainConfig
from recstack.retraining.release import canaries, live_versions, newest_versions
from trainer.export.labels import set_stable, stable_versions


@pytest.fixture
def stack(tmp_path: Path) -> StackConfig:
    """Two versions of each model, of which the first is stable."""
    stack = replace(load_config(None), workdir=tmp_path / "work", retrain=RetrainConfig(publication="canary"))
    for model in MODEL_NAMES:
        for version in (1, 2):
            manifest = Manifest(kind="saved_model", schema_fingerprint="s", inputs={"run": str(version)})
            manifest.write(stack.layout.model(model).manifest(version))
    set_stable(stack.layout, dict.fromkeys(MODEL_NAMES, 1))
    return stack


def run(verb: str, stack: StackConfig, *flags: str) -> int:
    path = stack.workdir.parent / "stack.toml"
    path.write_text(stack.to_toml())
    return main([verb, "--config", str(path), *flags])


def test_with_a_canary_the_stable_version_is_the_live_one(stack: StackConfig) -> None:
    assert newest_versions(stack) == dict.fromkeys(stack.export.models, 2)
    assert live_versions(stack) == canaries(stack) == dict.fromkeys(stack.export.models, 1)


def test_promotion_makes_the_newest_version_stable(stack: StackConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("promote", stack) == 0
    assert stable_versions(stack.layout) == dict.fromkeys(stack.export.models, 2)
    assert canaries(stack) == {}
    assert "retrieval: version 2 is stable instead of 1" in capsys.readouterr().err
    assert run("promote", stack) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_rollback_of_a_canary_returns_to_the_stable_version(stack: StackConfig) -> None:
    layout = stack.layout.model("retrieval")
    Manifest(kind="saved_model", schema_fingerprint="s", inputs={"run": "3"}).write(layout.manifest(3))
    assert run("rollback", stack, "retrieval") == 0
    # Version 2 is the one before the newest, but 1 is the stable one.
    assert layout.versions() == [1, 2, 3, 4]
    manifest = layout.manifest(4).read_text("utf-8")
    assert '"run": "1"' in manifest
    assert stable_versions(stack.layout)["retrieval"] == 4
