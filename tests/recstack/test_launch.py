"""`recstack train --launch N`: real processes that train one model, also where one of them is killed."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from features.disk.manifest import read_manifest
from features.errors import InputError
from recstack import stages
from recstack.config import StackConfig
from recstack.launch import launch, worker_config
from recstack.local_server import free_port
from recstack.verbs.train import without_option
from tests.checkerboard import write_checkerboard
from trainer.config.training import OptimizerConfig, TrainingConfig
from trainer.restore import restore
from trainer.stage import stages_of
from trainer.training.checkpoints import saved_numbers

SGD = OptimizerConfig(kind="sgd", learning_rate=0.05, warmup_steps=0)
# In units of a vector's largest component. Proportional to the sums of the gradients, whose order differs.
TOLERANCE = 1e-3


def write_stack(directory: Path, epochs: int, *, validates: bool = False) -> tuple[StackConfig, Path]:
    directory.mkdir(exist_ok=True)
    stack = write_checkerboard(directory)
    retrieval = replace(stack.retrieval, optimizer=SGD, epochs=epochs, patience=0, checkpoint_seconds=0.2)
    stack = replace(stack, retrieval=retrieval)
    if not validates:  # the last epoch is kept; which of two nearly equal ones is better, rounding would decide
        stack = replace(stack, pipeline=replace(stack.pipeline, split=replace(stack.pipeline.split, validation=0.0)))
    stages.prepare(stack)
    path = directory / "launched.toml"
    path.write_text(stack.to_toml(), encoding="utf-8")
    return stack, path


def start(config: Path, workers: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "recstack", "train", "retrieval", "--config", str(config), f"--launch={workers}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(config: Path, workers: int) -> str:
    process = start(config, workers)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]
    return output


def children(process: "subprocess.Popen[str]") -> list[int]:
    return [
        child.pid for child in sorted(psutil.Process(process.pid).children(), key=lambda child: child.create_time())
    ]


def wait_for_a_checkpoint(stack: StackConfig, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None:
        if any((run.stage("retrieval").last_checkpoints / "checkpoint").exists() for run in stack.layout.runs.all()):
            return
        time.sleep(0.05)
    pytest.fail(f"ended without a checkpoint: {process.communicate()[1][-2000:]}")


def item_vectors(stack: StackConfig) -> np.ndarray:
    trained = restore(stages.stage_context(stack), stages_of(stack)["retrieval"])
    vectors: np.ndarray = trained.model.embed_candidates(trained.candidates).numpy()
    return vectors


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_two_processes_train_what_one_trains_though_one_of_them_is_killed(tmp_path: Path, victim: int) -> None:
    stack, config = write_stack(tmp_path / "launched", epochs=20)
    process = start(config, workers=2)
    wait_for_a_checkpoint(stack, process)
    os.kill(children(process)[victim], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert f"worker {victim} of 2 was ended by signal 9; run the same command again to go on" in errors
    assert stack.layout.runs.current is None
    if victim == 0:
        assert "nothing to do" not in run(config, workers=2)
        assert "nothing to do" in run(config, workers=2)
    else:  # what two processes have begun, one ends
        assert not stages.train(stack, "retrieval").nothing_to_do
    alone, _ = write_stack(tmp_path / "alone", epochs=20)
    stages.train(alone, "retrieval")
    launched, expected = item_vectors(stack), item_vectors(alone)
    np.testing.assert_allclose(launched, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.slow
def test_two_processes_stream_shards_of_their_own(tmp_path: Path) -> None:
    stack, config = write_stack(tmp_path, epochs=10, validates=True)
    stages.train(stack, "retrieval")
    streamed = replace(stack, training=TrainingConfig(input="stream", block_events=300))
    config.write_text(streamed.to_toml(), encoding="utf-8")
    former = {found.id for found in stack.layout.runs.all()}
    run(config, workers=2)
    (new,) = (found for found in stack.layout.runs.all() if found.id not in former)
    found, expected = (
        read_manifest(layout.stage("retrieval").manifest, "run") for layout in (new, stack.layout.runs.run(*former))
    )
    # Twice as many if each worker had read all shards.
    assert found.counts == expected.counts
    # Ten epochs of SGD end where the order of the examples leads them; this one led to .79, and that in memory to .67.
    assert found.metrics["ndcg@20"] > expected.metrics["ndcg@20"] - 0.2


@pytest.mark.slow
def test_a_worker_says_that_another_one_was_lost(tmp_path: Path) -> None:
    stack, config = write_stack(tmp_path, epochs=10_000)
    command = [sys.executable, "-m", "recstack", "train", "retrieval", "--config", str(config)]
    command += ["--strategy", "multi_worker_mirrored"]
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    chief, other = (
        subprocess.Popen(
            command,
            env=os.environ | {"TF_CONFIG": worker_config(addresses, index)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    )
    wait_for_a_checkpoint(stack, chief)
    other.kill()
    _, errors = chief.communicate(timeout=300)
    other.communicate()
    assert chief.returncode == 1
    assert "Traceback" not in errors
    assert re.search(r"worker 0 lost one of the other 1 \(.+\); start all again to go on", errors)


@pytest.mark.slow
def test_workers_end_with_the_process_that_launched_them(tmp_path: Path) -> None:
    stack, config = write_stack(tmp_path, epochs=10_000)
    process = start(config, workers=2)
    wait_for_a_checkpoint(stack, process)
    workers = children(process)
    assert len(workers) == 2
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    (interrupted,) = stack.layout.runs.all()
    # Both have saved a step that they agreed on, in the middle of an epoch or at its end.
    step = saved_numbers(interrupted.stage("retrieval").last_checkpoints)[-1]
    assert f"asked to end after step {step}, which is saved" in errors
    assert not [worker for worker in workers if psutil.pid_exists(worker)]


def test_a_launch_without_workers_is_refused() -> None:
    with pytest.raises(InputError, match="--launch -1: expected at least 1 process"):
        launch(["train"], -1)


@pytest.mark.parametrize(
    "arguments",
    [["--launch", "2", "--json"], ["--launch=2", "--json"], ["--json"], ["--launch", "3", "--json", "--launch"]],
)
def test_workers_do_not_launch_workers(arguments: list[str]) -> None:
    assert without_option(arguments, "--launch") == ["--json"]
