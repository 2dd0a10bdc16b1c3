"""Trainings that are asked to end, whose checkpoints are damaged, or whose disk is full."""

import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import tensorflow as tf

from features.errors import InputError, RecstackError
from tests.trainer.test_stage import RETRIEVAL, context, item_vectors
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.checkpoints import Checkpoints, saved_numbers
from trainer.training.progress import Progress
from trainer.training.stopping import StoppedError, stop_requests

STAGE = RetrievalStage(config=replace(RETRIEVAL, dimension=4, epochs=3, checkpoint_seconds=0.0))
DATA = "data-00000-of-00001"


def checkpoints_of(weight: tf.Variable, directory: Path) -> Checkpoints:
    return Checkpoints(tf.train.Checkpoint(weight=weight), directory, directory, kept=2)


@pytest.fixture
def two(tmp_path) -> tuple[tf.Variable, Checkpoints, Path]:
    """Checkpoints 9 and 10, of a weight of nines and of tens."""
    weight, directory = tf.Variable(tf.zeros([64])), tmp_path / "two"
    checkpoints = checkpoints_of(weight, directory)
    for number in (8, 9, 10):
        weight.assign(tf.fill([64], float(number)))
        checkpoints.save(number)
    assert saved_numbers(directory) == [9, 10]
    return weight, checkpoints, directory


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_in_two(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flip_a_bit, cut_in_two, Path.unlink])
@pytest.mark.parametrize("file", ["index", DATA])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(two, damage, file):
    weight, checkpoints, directory = two
    damage(directory / f"ckpt-10.{file}")
    told: list[str] = []
    assert checkpoints.newest_sound(told.append) == 9
    checkpoints.restore(9)
    np.testing.assert_array_equal(weight, np.full(64, 9.0))
    if (damage, file) == (Path.unlink, "index"):  # is not there, as if it had never been
        assert told == []
    else:
        (line,) = told
        assert "checkpoint 10 is damaged (" in line
        assert "trying the one before it" in line
    checkpoints.remove_after(9)
    assert saved_numbers(directory) == [9]
    checkpoints.save(10)
    assert checkpoints.newest_sound(pytest.fail) == 10


def test_checkpoints_are_found_without_the_file_that_lists_them(two):
    weight, _, directory = two
    (directory / "checkpoint").write_text("")
    again = checkpoints_of(weight, directory)
    weight.assign(tf.zeros([64]))
    again.restore(again.newest_sound(pytest.fail))
    np.testing.assert_array_equal(weight, np.full(64, 10.0))


def test_without_a_sound_checkpoint_it_says_what_to_do(two):
    _, checkpoints, directory = two
    for number in saved_numbers(directory):
        flip_a_bit(directory / f"ckpt-{number}.{DATA}")
    with pytest.raises(InputError, match="no checkpoint can be read; delete that directory"):
        checkpoints.newest_sound(lambda line: None)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 4 MiB: the kernel refuses a write as it does on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, small_files):
    weight = tf.Variable(tf.ones([16]), shape=tf.TensorShape(None))
    checkpoints = checkpoints_of(weight, tmp_path / "x")
    checkpoints.save(1)
    there = sorted(path.name for path in (tmp_path / "x").iterdir())
    weight.assign(tf.random.normal([1 << 21], seed=1))
    with pytest.raises(RecstackError, match=r"checkpoint 2 cannot be written \(.+\); the one before it stays"):
        checkpoints.save(2)
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == there
    assert checkpoints.newest_sound(pytest.fail) == 1
    checkpoints.restore(1)
    np.testing.assert_array_equal(weight, np.ones(16))


@pytest.mark.slow
def test_a_training_that_is_asked_to_end_goes_on_later_though_its_checkpoint_is_damaged(
    small_dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr("trainer.training.loop._REPORT_SECONDS", 0.0)
    former, run = signal.getsignal(signal.SIGTERM), tmp_path / "run"

    def end(told: Progress) -> None:
        if told.step == 13:  # in the middle of the second epoch of 8 steps
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match="asked to end after step 13, which is saved") as stopped:
        train_stage(context(small_dataset, run, progress=end, saves_when_stopped=True), STAGE)
    assert stopped.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == former
    flip_a_bit(run / "retrieval" / "checkpoints" / "last" / f"ckpt-13.{DATA}")
    reports: list[Progress] = []
    told: list[str] = []
    train_stage(context(small_dataset, run, progress=reports.append, report=told.append), STAGE)
    assert reports[0].step == 13  # made again, from the checkpoint of step 12
    assert len(told) == 1
    train_stage(context(small_dataset, tmp_path / "calm"), STAGE)
    shaken, calm = (item_vectors(small_dataset, tmp_path / name, STAGE.config) for name in ("run", "calm"))
    np.testing.assert_array_equal(shaken, calm)


def test_a_program_that_handles_the_signal_itself_keeps_doing_so():
    seen = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with stop_requests() as is_stopped:
            os.kill(os.getpid(), signal.SIGTERM)
            assert not is_stopped()
    finally:
        signal.signal(signal.SIGTERM, former)
    assert seen == [signal.SIGTERM]


def test_only_the_main_thread_listens_to_signals():
    seen = []

    def listen() -> None:
        with stop_requests() as is_stopped:
            seen.append(is_stopped())

    thread = Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [False]
