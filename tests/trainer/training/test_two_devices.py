"""Two devices follow the gradient that one follows, but for the order of sums in float32.

Gradients are compared, and trainings with SGD, whose steps are proportional to them. Adam divides each component by its
own size, so that rounding errors of components near zero become steps as long as any: its weights say nothing here.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.disk.layout import DatasetLayout
from tests.trainer.small_dataset import NUM_USERS, course, record, write_records, write_small_dataset
from tests.trainer.training.two_devices import STAGES, Arrays

# In units of a weight's largest component. A sum of m terms t is off by at most (m - 1) u sum |t|, in whatever order it
# is made (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2), where u = 2^-24 for float32. So two
# orders of the 32 examples of a batch differ by less than 2 * 32 * u = 2^-18 of sum |t|, which is given eight times the
# largest component: terms cancel, and have rounding errors of their own.
TOLERANCE = 2.0**-15
# What replicas that do not know of each other must be off by, to be told apart from rounding without a doubt.
WRONG = 2.0**-5

GATHERING = ("in_batch", "hard")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """Every user eight times: a batch of two packed rows, and eight such batches an epoch."""
    dataset = write_small_dataset(tmp_path_factory.mktemp("enough") / "dataset")
    shutil.rmtree(dataset.interactions("train"))
    records = [record(user, course(user)[:4], [1, 2, 3, 4]) for user in range(NUM_USERS)]
    write_records(dataset.interactions("train"), records * 8)
    return dataset


def measure(what: str, dataset: DatasetLayout, out: Path, names: list[str]) -> None:
    command = [sys.executable, "-m", "tests.trainer.training.two_devices", what, str(dataset.root), str(out), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def measured(out: Path, name: str, device: str) -> Arrays:
    with np.load(out / f"{name}-{device}.npz") as arrays:
        return dict(arrays)


def largest_difference(found: Arrays, expected: Arrays) -> float:
    """Over all weights, in units of the largest component of each."""
    assert found.keys() == expected.keys()
    scales = {name: np.abs(values).max() for name, values in expected.items()}
    assert all(not found[name].any() for name, scale in scales.items() if scale == 0)
    return max(np.abs(found[name] - expected[name]).max() / scale for name, scale in scales.items() if scale > 0)


# Several in one process too: the exchanges of one training must not be taken for those of the one before.
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["in_batch"], id="in_batch"),
        pytest.param(["hard", "repeat", "ensemble", "ranking"], id="others", marks=pytest.mark.slow),
    ],
)
def test_gradients_of_one_step(dataset, tmp_path, names):
    measure("gradients", dataset, tmp_path, names)
    for name in names:
        one, two, broken = (measured(tmp_path, name, device) for device in ("one", "two", "broken"))
        assert largest_difference(two, one) < TOLERANCE, name
        assert (largest_difference(broken, one) > WRONG) == (name in GATHERING), name


@pytest.mark.slow
def test_trainings_with_sgd(dataset, tmp_path):
    measure("training", dataset, tmp_path, list(STAGES))
    for name in STAGES:
        one, two, broken = (measured(tmp_path, name, device) for device in ("one", "two", "broken"))
        assert largest_difference(two, one) < TOLERANCE, name
        assert (largest_difference(broken, one) > WRONG) == (name in GATHERING), name
