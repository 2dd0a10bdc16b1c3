"""`strategy = "parameter_server"`: real processes, a lost worker, a lost server, and what is refused."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from features.disk.manifest import read_manifest
from features.errors import ConfigError, InputError
from features.serialization import structure, unstructure
from recstack import stages
from recstack.config import StackConfig, require_strategy
from recstack.launch import server_configs
from recstack.local_server import free_port
from recstack.verbs.train import main
from tests.checkerboard import write_checkerboard
from tests.recstack.test_launch import children, wait_for_a_checkpoint
from trainer.config.training import OptimizerConfig
from trainer.training.checkpoints import saved_numbers

# A trained model puts the four liked items that a user has not seen first, in whatever order: the two targets are among
# them, so that NDCG is at least (1 / log2(4) + 1 / log2(5)) / (1 + 1 / log2(3)) = .57 for each user. It is a mean over
# 40 users of values between that and 1; two orders that have nothing to do with each other differ in this mean by .04
# as a standard deviation.
TOLERANCE = 0.15
METRICS = ("recall@10", "ndcg@10")


def write_stack(directory: Path, epochs: int = 12) -> tuple[StackConfig, Path]:
    directory.mkdir(exist_ok=True)
    stack = write_checkerboard(directory)
    adam = OptimizerConfig(kind="adam", learning_rate=0.02)
    stack = replace(
        stack,
        retrieval=replace(
            stack.retrieval, dimension=8, optimizer=adam, epochs=epochs, patience=0, checkpoint_seconds=0.2
        ),
        ranking=replace(stack.ranking, optimizer=adam, epochs=1),
    )
    stages.prepare(stack)
    path = directory / "servers.toml"
    path.write_text(stack.to_toml(), encoding="utf-8")
    return stack, path


def start(config: Path, stage: str = "retrieval") -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "recstack", "train", stage, "--config", str(config), "--launch=2", "--servers=1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]", code: int = 0) -> tuple[str, str]:
    output, errors = process.communicate(timeout=900)
    assert process.returncode == code, errors[-3000:]
    assert "Traceback" not in errors
    return output, errors


def validation(stack: StackConfig) -> dict[str, float]:
    (run,) = stack.layout.runs.all()
    metrics = read_manifest(run.stage("retrieval").manifest, "run").metrics
    return {name: metrics[name] for name in METRICS}


@pytest.mark.slow
def test_four_processes_reach_the_quality_of_one(tmp_path: Path) -> None:
    """Both stages in one call: the coordinator goes on to the next with the same workers."""
    stack, config = write_stack(tmp_path / "servers")
    finish(start(config, "all"))
    assert {"retrieval", "ranking"} <= set(stages.own_run(stack).finished())
    alone, _ = write_stack(tmp_path / "alone")
    stages.train(alone, "retrieval")
    found, expected = validation(stack), validation(alone)
    assert found["recall@10"] > 0.99
    assert expected["recall@10"] > 0.99
    assert found["ndcg@10"] == pytest.approx(expected["ndcg@10"], abs=TOLERANCE)
    assert stages.evaluate(stack, "retrieval")  # in one process, whatever trained


@pytest.mark.slow
def test_partitioned_tables_are_trained_though_a_worker_is_killed(tmp_path: Path) -> None:
    stack, config = write_stack(tmp_path, epochs=20)
    configs = server_configs([f"127.0.0.1:{free_port()}" for _ in range(5)], servers=2)
    command = [sys.executable, "-m", "tests.recstack.partitioned_training", "train", "retrieval"]
    command += ["--config", str(config), "--strategy", "parameter_server"]
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | {"TF_CONFIG": each},
            stdout=subprocess.PIPE if each == configs[0] else subprocess.DEVNULL,
            stderr=subprocess.PIPE if each == configs[0] else subprocess.DEVNULL,
            text=True,
        )
        for each in configs
    ]
    try:
        wait_for_a_checkpoint(stack, processes[0])
        processes[2].kill()
        output, _ = finish(processes[0])
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert all(f"/job:ps/replica:0/task:{server}" in output for server in (0, 1))
    assert validation(stack)["recall@10"] > 0.99


@pytest.mark.slow
def test_a_lost_server_ends_the_training_with_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    stack, config = write_stack(tmp_path)
    process = start(config)
    wait_for_a_checkpoint(stack, process)
    server = children(process)[-1]
    os.kill(server, signal.SIGKILL)
    _, errors = finish(process, code=1)
    assert "a parameter server, or the last worker, cannot be reached any more" in errors
    (run,) = stack.layout.runs.all()
    assert saved_numbers(run.stage("retrieval").last_checkpoints)[-1] > 0
    finish(start(config))
    assert validation(stack)["recall@10"] > 0.99


def changed(table: Mapping[str, Any]) -> StackConfig:
    """The demo's configuration under the strategy, with an optimizer that goes with it, and changes."""
    base = unstructure(StackConfig(features=structure(FEATURES, StackConfig).features, strategy="parameter_server"))
    base["retrieval"]["optimizer"]["kind"] = "adagrad"
    for name, changes in table.items():
        base["retrieval"][name] = base["retrieval"][name] | changes if name == "optimizer" else changes
    return structure(base, StackConfig)


FEATURES: dict[str, Any] = {
    "features": {
        "query": [{"kind": "id", "name": "user_id"}],
        "candidate": [{"kind": "id", "name": "item_id"}],
    }
}


@pytest.mark.parametrize(
    ("table", "field"),
    [
        ({"optimizer": {"kind": "auto"}}, r"retrieval.optimizer.kind = 'auto'.*\"adagrad\", \"adam\", \"sgd\""),
        ({"optimizer": {"kind": "row_wise_adagrad"}}, r"retrieval.optimizer.kind = 'row_wise_adagrad'"),
        ({"negatives": {"kind": "cross_batch"}}, r"retrieval.negatives.kind = 'cross_batch'.*\"in_batch\""),
        (
            {"negatives": {"kind": "uniform", "hard_negatives": 4}},
            r"negatives.hard_negatives = 4: expected 0",
        ),
    ],
)
def test_what_steps_apart_would_get_wrong_is_refused(table: Mapping[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        require_strategy(changed(table), "retrieval")
    require_strategy(replace(changed(table), strategy="mirrored"), "retrieval")


def test_other_stages_and_options_are_judged_too() -> None:
    stack = changed({})
    require_strategy(stack, "retrieval")
    with pytest.raises(ConfigError, match=r"ranking.optimizer.kind = 'auto'"):
        require_strategy(stack, "ranking")
    with pytest.raises(ConfigError, match=r"strategy = 'parameter_server'.*list ranker"):
        require_strategy(stack, "list_ranking")
    with pytest.raises(InputError, match="--profile"):
        require_strategy(stack, "retrieval", profile=True)
    float16 = replace(stack, training=replace(stack.training, precision="mixed_float16"))
    with pytest.raises(ConfigError, match=r"training.precision = 'mixed_float16'"):
        require_strategy(float16, "retrieval")


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--servers", "1"], "--servers 1: expected --launch N"), (["--launch", "1", "--servers", "-1"], "--servers -1")],
)
def test_numbers_of_processes_that_make_no_sense_are_refused(flags: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        main(flags)


def test_nothing_is_started_for_what_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"retrieval.optimizer.kind"):
        main(["retrieval", "--launch", "2", "--servers", "1", "--retrieval.optimizer.kind", "row_wise_adam"])


def test_the_addresses_become_one_cluster_of_three_roles() -> None:
    configs = [structure_of(each) for each in server_configs(["a:1", "b:1", "c:1", "d:1"], servers=1)]
    assert {str(cluster) for cluster, _ in configs} == {"{'chief': ['a:1'], 'worker': ['b:1', 'c:1'], 'ps': ['d:1']}"}
    assert [task for _, task in configs] == [("chief", 0), ("worker", 0), ("worker", 1), ("ps", 0)]


def structure_of(text: str) -> tuple[dict[str, list[str]], tuple[str, int]]:
    config = json.loads(text)
    return config["cluster"], (config["task"]["type"], config["task"]["index"])
