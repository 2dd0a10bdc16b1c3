"""Published versions that nobody has trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.disk.layout import MODEL_NAMES
from features.disk.manifest import Manifest
from recstack.config import StackConfig, load_config
from recstack.retraining.config import RetrainConfig
from trainer.export.labels import set_stable


@pytest.fixture
def canary_stack(tmp_path: Path) -> StackConfig:
    """Two versions of each model, of which the first is stable."""
    stack = replace(load_config(None), workdir=tmp_path / "work", retrain=RetrainConfig(publication="canary"))
    for model in MODEL_NAMES:
        for version in (1, 2):
            manifest = Manifest(kind="saved_model", schema_fingerprint="s", inputs={"run": str(version)})
            manifest.write(stack.layout.model(model).manifest(version))
    set_stable(stack.layout, dict.fromkeys(MODEL_NAMES, 1))
    return stack
