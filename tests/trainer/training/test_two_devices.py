"""Two devices, and two processes, follow the gradient that one device follows, but for the order of sums in float32.

Gradients are compared, and trainings with SGD, whose steps are proportional to them. Adam divides each component by its
own size, so that rounding errors of components near zero become steps as long as any: its weights say nothing here.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.disk.layout import DatasetLayout
from recstack.launch import worker_config
from recstack.local_server import free_port
from tests.trainer.small_dataset import NUM_USERS, course, record, write_records, write_small_dataset
from tests.trainer.training.two_devices import GATHERING, STAGES, Arrays

# In units of a weight's largest component. A sum of m terms t is off by at most (m - 1) u sum |t|, in whatever order it
# is made (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2), where u = 2^-24 for float32. So two
# orders of the 32 examples of a batch differ by less than 2 * 32 * u = 2^-18 of sum |t|, which is given eight times the
# largest component: terms cancel, and have rounding errors of their own.
TOLERANCE = 2.0**-15
# What replicas that do not know of each other must be off by, to be told apart from rounding without a doubt.
WRONG = 2.0**-5

# What is trained to its end: one kind of examples, of negatives and of stage each.
TRAINED = ["in_batch", "hard", "repeat", "ensemble", "ranking"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """Every user eight times: a batch of two packed rows, and eight such batches an epoch."""
    dataset = write_small_dataset(tmp_path_factory.mktemp("enough") / "dataset")
    shutil.rmtree(dataset.interactions("train"))
    records = [record(user, course(user)[:4], [1, 2, 3, 4]) for user in range(NUM_USERS)]
    write_records(dataset.interactions("train"), records * 8)
    return dataset


def measure(what: str, dataset: DatasetLayout, out: Path, names: list[str]) -> None:
    wait([start([what, "devices", str(dataset.root), str(out), *names])])


def measure_in_workers(what: str, dataset: DatasetLayout, out: Path, names: list[str]) -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    arguments = [what, "workers", str(dataset.root), str(out), *names]
    wait([start(arguments, TF_CONFIG=worker_config(addresses, worker)) for worker in range(2)])


def start(arguments: list[str], **environment: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.trainer.training.two_devices", *arguments]
    return subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


def wait(processes: "list[subprocess.Popen[str]]") -> None:
    for process in processes:
        try:
            _, errors = process.communicate(timeout=1200)
        finally:
            for other in processes:
                if process.returncode != 0:
                    other.kill()
        assert process.returncode == 0, errors[-3000:]


def measured(out: Path, name: str, device: str) -> Arrays:
    with np.load(out / f"{name}-{device}.npz") as arrays:
        return dict(arrays)


def largest_difference(found: Arrays, expected: Arrays) -> float:
    """Over all weights, in units of the largest component of each."""
    assert found.keys() == expected.keys()
    scales = {name: np.abs(values).max() for name, values in expected.items()}
    assert all(not found[name].any() for name, scale in scales.items() if scale == 0)
    return max(np.abs(found[name] - expected[name]).max() / scale for name, scale in scales.items() if scale > 0)


def difference_to_one_device(out: Path, name: str, device: str) -> float:
    return largest_difference(measured(out, name, device), measured(out, name, "one"))


# Several in one process: the exchanges of one training must not be taken for those of the one before.
@pytest.mark.slow
def test_gradients_of_one_step(dataset, tmp_path):
    measure("gradients", dataset, tmp_path, list(STAGES))
    measure_in_workers("gradients", dataset, tmp_path, list(STAGES))
    for name in STAGES:
        for together, broken in (("two", "broken"), ("workers", "broken_workers")):
            assert difference_to_one_device(tmp_path, name, together) < TOLERANCE, name
            if name in GATHERING:
                assert difference_to_one_device(tmp_path, name, broken) > WRONG, name


@pytest.mark.slow
def test_trainings_with_sgd(dataset, tmp_path):
    measure("training", dataset, tmp_path, TRAINED)
    measure_in_workers("training", dataset, tmp_path, TRAINED)
    for name in TRAINED:
        for together in ("two", "workers"):
            assert difference_to_one_device(tmp_path, name, together) < TOLERANCE, name
