import time

import pytest
import tensorflow as tf

from tests.trainer.test_stage import RETRIEVAL, context
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.profiling import ProfiledSteps


@pytest.mark.slow
def test_a_profiled_training_says_what_a_step_takes_and_writes_a_trace(small_dataset, tmp_path):
    told: list[str] = []
    stage = RetrievalStage(config=RETRIEVAL)
    train_stage(context(small_dataset, tmp_path, profile=True, report=told.append), stage)
    (line,) = told
    assert "waiting for input" in line
    assert list((tmp_path / "retrieval" / "tensorboard").rglob("*.xplane.pb"))


def test_parts_of_a_step_are_told_apart(tmp_path):
    told: list[str] = []

    def gradients(batch):
        time.sleep(0.02)
        return tf.constant(0.0)

    def exchanged(batch):
        time.sleep(0.06)
        return tf.constant(0.0)

    beginnings = {"forward and backward": gradients, "exchange of gradients": exchanged}
    steps = ProfiledSteps(lambda batch: time.sleep(0.1), beginnings, tmp_path, told.append)
    for _ in range(25):
        time.sleep(0.01)
        steps({})
    (line,) = told
    words = line.replace(",", "").replace(";", "").split()
    assert "exchange of gradients" in line
    waiting, backward, exchange, update = [float(words[place - 1]) for place, word in enumerate(words) if word == "ms"]
    # Sleep takes no less than it was asked for, however busy the machine.
    assert waiting >= 10
    assert backward >= 20
    assert exchange + backward >= 60
    assert update >= 0
