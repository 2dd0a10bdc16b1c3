"""A run that is killed at any point leaves nothing a reader could take for a dataset, and a rerun finishes."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from beam_pipelines.config import PipelineConfig, TableSource
from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import DatasetLayout
from features.schema import Schema
from tests.beam_pipelines.conftest import Prepared, write_parquet

_SCRIPT = """
import os, signal, sys, threading
from pathlib import Path
from beam_pipelines.config import PipelineConfig, TableSource
from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import DatasetLayout
from features.schema import Schema
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature

schema = Schema(query=(IdFeature(name="user_id"), HistoryFeature(name="history", length=3)),
                candidate=(IdFeature(name="item_id"),))
config = PipelineConfig(interactions=TableSource(path=sys.argv[1]))

def told(text):
    if text.startswith(sys.argv[3]):
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()

prepare_dataset(schema, config, DatasetLayout(Path(sys.argv[2])), seed=1, progress=told)
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["reading", "sorting", "learning", "writing"])
def test_a_killed_run_is_finished_by_the_next(tmp_path: Path, ids_only: Schema, stage: str) -> None:
    rows = [{"user_id": f"u{n % 50}", "item_id": f"i{n % 70}", "timestamp": n} for n in range(5000)]
    source = write_parquet(tmp_path / "logs.parquet", rows)
    dataset = DatasetLayout(tmp_path / "dataset")
    ended = subprocess.run([sys.executable, "-c", _SCRIPT, str(source), str(dataset.root), stage], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not dataset.root.exists()
    config = PipelineConfig(interactions=TableSource(path=str(source)))
    result = prepare_dataset(ids_only, config, dataset, seed=1)
    assert not result.nothing_to_do
    again = result.manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset", "logs.parquet"]
    fresh = DatasetLayout(tmp_path / "fresh")
    manifest = prepare_dataset(ids_only, config, fresh, seed=1).manifest
    assert Prepared(again, False, dataset).digests() == Prepared(manifest, False, fresh).digests()
    assert again.fingerprint() == manifest.fingerprint()
