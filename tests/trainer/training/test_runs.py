"""What is left of a run decides whether there is something to do."""

import pytest
import tensorflow as tf

from features.disk.layout import StageLayout
from features.disk.manifest import Manifest
from features.errors import InputError
from trainer.training.checkpoints import restoring
from trainer.training.runs import finished_stage, start_stage

INPUTS = {"dataset": "aa", "config": "bb"}


@pytest.fixture
def finished(tmp_path) -> StageLayout:
    run = StageLayout(tmp_path / "retrieval")
    start_stage(run, INPUTS)
    for directory in (run.best_checkpoints, run.last_checkpoints):
        tf.train.Checkpoint(weight=tf.Variable(tf.ones(99))).write(str(directory / "ckpt"))
    Manifest(kind="run", schema_fingerprint="cc", inputs=INPUTS).write(run.manifest)
    return run


def test_run_of_the_same_inputs_is_finished(finished):
    assert finished_stage(finished, INPUTS) is not None
    assert finished_stage(finished, INPUTS | {"config": "other"}) is None


def test_run_that_lost_its_model_starts_anew(finished):
    for path in finished.best_checkpoints.iterdir():
        path.unlink()
    assert finished_stage(finished, INPUTS) is None
    start_stage(finished, INPUTS)
    assert not finished.manifest.exists()
    assert not finished.last_checkpoints.exists()


def test_interrupted_run_keeps_its_checkpoints(finished):
    finished.manifest.unlink()
    start_stage(finished, INPUTS)
    assert any(finished.last_checkpoints.iterdir())


def test_undecodable_inputs_are_those_of_another_run(finished):
    finished.inputs.write_bytes(b"\xff\xfe")
    start_stage(finished, INPUTS)
    assert not finished.last_checkpoints.exists()


@pytest.mark.parametrize("name", ["ckpt.data-00000-of-00001", "ckpt.index"])
def test_damaged_checkpoint_is_named_with_what_to_do(finished, name):
    path = finished.best_checkpoints / name
    path.write_bytes(path.read_bytes()[:20])
    checkpoint = tf.train.Checkpoint(weight=tf.Variable(tf.zeros(99)))
    with pytest.raises(InputError, match=r"cannot be restored \(.+\); delete that directory"), restoring(finished):
        checkpoint.restore(str(finished.best_checkpoints / "ckpt"))
