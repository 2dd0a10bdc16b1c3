from pathlib import Path

import pytest

from features.disk.exported import ModelLayout
from features.disk.layout import STAGE_NAMES, Workdir


def test_versions_are_directories_named_by_integers(tmp_path: Path) -> None:
    for name in ("2", "10", "0007", "v3", "4.tmp", ".5", "1a"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").touch()
    assert ModelLayout(tmp_path).versions() == [2, 7, 10]


def test_missing_base_path_has_no_versions(tmp_path: Path) -> None:
    assert ModelLayout(tmp_path / "none").versions() == []


def test_stages_of_one_run_do_not_share_a_path(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    paths = [
        getattr(workdir.runs.run(run).stage(stage), field)
        for run in ("1", "2")
        for stage in STAGE_NAMES
        for field in ("manifest", "inputs", "config", "checkpoints", "metrics", "tensorboard")
    ]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("model", ["retrieval", "recommender"])
def test_manifest_and_warmup_lie_where_tensorflow_serving_looks(tmp_path: Path, model: str) -> None:
    layout = Workdir(tmp_path).model(model)
    assert layout.manifest(3) == tmp_path / "saved_models" / model / "3" / "assets.extra" / "manifest.json"
    assert layout.warmup_requests(3).parent == layout.manifest(3).parent
