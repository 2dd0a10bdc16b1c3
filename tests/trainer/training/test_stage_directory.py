"""What is left of a stage decides whether there is something to do, and nothing of other inputs is ever removed."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout, StageLayout
from features.disk.manifest import Manifest, read_manifest
from features.errors import InputError
from trainer.training.checkpoints import restoring
from trainer.training.stage_directory import finished_stage, start_stage, was_started_with


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetLayout:
    return write_dataset(tmp_path / "dataset", "of yesterday")


def write_dataset(root: Path, version: str) -> DatasetLayout:
    layout = DatasetLayout(root)
    layout.vocabularies.mkdir(parents=True)
    layout.vocabulary("item_id").write_text(f"{version}\n")
    layout.statistics.write_text("{}")
    layout.interactions("train").mkdir()
    (layout.interactions("train") / "part-0").write_text("events")
    Manifest(kind="dataset", schema_fingerprint="cc", inputs={"version": version}).write(layout.manifest)
    return layout


@pytest.fixture
def inputs(dataset: DatasetLayout) -> dict[str, str]:
    return {"dataset": read_manifest(dataset.manifest, "dataset").fingerprint(), "config": "bb"}


@pytest.fixture
def finished(tmp_path: Path, dataset: DatasetLayout, inputs: dict[str, str]) -> StageLayout:
    layout = StageLayout(tmp_path / "runs" / "1" / "retrieval")
    start_stage(layout, inputs, dataset)
    for directory in (layout.best_checkpoints, layout.last_checkpoints):
        tf.train.Checkpoint(weight=tf.Variable(tf.ones(99))).write(str(directory / "ckpt"))
    Manifest(kind="run", schema_fingerprint="cc", inputs=inputs).write(layout.manifest)
    return layout


def files(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_stage_of_the_same_inputs_is_finished(finished: StageLayout, inputs: dict[str, str]) -> None:
    assert finished_stage(finished, inputs) is not None
    assert finished_stage(finished, inputs | {"config": "other"}) is None
    assert was_started_with(finished, inputs)
    assert not was_started_with(finished, inputs | {"config": "other"})


def test_stage_that_lost_its_model_starts_anew(
    finished: StageLayout, inputs: dict[str, str], dataset: DatasetLayout
) -> None:
    for path in finished.best_checkpoints.iterdir():
        path.unlink()
    assert finished_stage(finished, inputs) is None
    start_stage(finished, inputs, dataset)
    assert not finished.manifest.exists()
    assert not finished.last_checkpoints.exists()


def test_interrupted_stage_keeps_its_checkpoints(
    finished: StageLayout, inputs: dict[str, str], dataset: DatasetLayout
) -> None:
    finished.manifest.unlink()
    start_stage(finished, inputs, dataset)
    assert any(finished.last_checkpoints.iterdir())


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_training_from_other_inputs_is_refused_and_nothing_is_removed(
    finished: StageLayout, inputs: dict[str, str], dataset: DatasetLayout, content: bytes | None
) -> None:
    if content is not None:
        finished.inputs.write_bytes(content)
    before = files(finished.directory)
    wanted = inputs if content is not None else inputs | {"config": "other"}
    with pytest.raises(InputError, match=r"holds a training from other inputs.*delete"):
        start_stage(finished, wanted, dataset)
    assert files(finished.directory) == before


def test_facts_of_the_dataset_outlive_it(finished: StageLayout, dataset: DatasetLayout) -> None:
    shutil.rmtree(dataset.root)
    write_dataset(dataset.root, "of today")
    assert finished.dataset.vocabulary("item_id").read_text() == "of yesterday\n"
    assert finished.dataset.statistics.exists()
    # Events are most of a dataset; a run does not keep them.
    assert not finished.dataset.interactions("train").exists()


def test_facts_are_linked_where_the_disk_can(finished: StageLayout, dataset: DatasetLayout) -> None:
    assert finished.dataset.statistics.samefile(dataset.statistics)


def test_a_dataset_that_was_replaced_meanwhile_is_refused(
    tmp_path: Path, dataset: DatasetLayout, inputs: dict[str, str]
) -> None:
    shutil.rmtree(dataset.root)
    write_dataset(dataset.root, "of today")
    layout = StageLayout(tmp_path / "runs" / "2" / "retrieval")
    with pytest.raises(InputError, match="replaced while it was read"):
        start_stage(layout, inputs, dataset)
    assert not layout.inputs.exists()
    assert not layout.dataset.root.exists()


@pytest.fixture(params=["ckpt.data-00000-of-00001", "ckpt.index"])
def damaged(request: pytest.FixtureRequest, finished: StageLayout) -> StageLayout:
    path = finished.best_checkpoints / request.param
    path.write_bytes(path.read_bytes()[:20])
    return finished


def test_damaged_checkpoint_is_named_with_what_to_do(damaged: StageLayout) -> None:
    checkpoint = tf.train.Checkpoint(weight=tf.Variable(tf.zeros(99)))
    with pytest.raises(InputError, match=r"cannot be restored \(.+\); delete that directory"), restoring(damaged):
        checkpoint.restore(str(damaged.best_checkpoints / "ckpt"))


def test_a_checkpoint_without_a_weight_of_the_model_is_named_with_what_to_do(finished: StageLayout) -> None:
    of_another_release = tf.train.Checkpoint(weight=tf.Variable(tf.zeros(99)), added=tf.Variable(1.0))
    status = of_another_release.restore(str(finished.best_checkpoints / "ckpt"))
    with pytest.raises(InputError, match=r"cannot be restored \(.+\); delete that directory"), restoring(finished):
        status.assert_existing_objects_matched()
