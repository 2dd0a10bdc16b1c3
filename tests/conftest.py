"""Fixtures shared by all packages: a small schema and a dataset's learnt parts, written out by hand."""

import logging
import os
from pathlib import Path

import pytest
from hypothesis import settings

# TensorFlow's C++ start-up notices (no GPU, instruction sets) would drown a failing test's output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Parameter servers that a test starts need two threads, whatever the tests are run with.
os.environ.pop("TF_NUM_INTEROP_THREADS", None)

from features.disk.layout import DatasetLayout
from features.encoding.statistics import NumericStatistics, Statistics
from features.encoding.vocabulary import Vocabulary
from features.schema import Schema
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature
from features.spec.multi_valued import MultiValuedFeature
from features.spec.numeric import NumericFeature
from features.spec.text import TextFeature
from features.spec.time import TimestampFeature
from features.spec.vector import VectorFeature
from recstack.config import StackConfig
from tests.checkerboard import write_checkerboard

logging.getLogger("tensorflow").setLevel(logging.ERROR)

# A timing decides no test: a busy machine may be slow.
settings.register_profile("recstack", deadline=None)
settings.load_profile("recstack")

FOLDERS_OF_THE_CHECKERBOARD = (
    "tests/end_to_end",
    "tests/examples",
    "tests/recstack",
    "tests/recstack/retraining",
    "tests/recstack/tuning",
    "tests/trainer/baselines",
    "tests/trainer/evaluation",
    "tests/trainer/export",
)

# Their subfolders share the fixtures of one `conftest.py`, such as a running server.
FOLDERS_THAT_SHARE_FIXTURES = ("tests/serving", "tests/beam_pipelines/sources/stores")

# What takes longest, which runs first: so no process is left with it while the others have nothing to do.
LONGEST = (
    "tests/trainer/training/test_two_devices.py",
    "tests/benchmarks/test_chaos_training.py",
    "tests/beam_pipelines/test_flink.py",
    "checkerboard",
    "tests/serving",
    "tests/trainer/index",
    "tests/trainer",
    "tests/beam_pipelines/passes",
)

PRICE = NumericStatistics(count=4, missing=1, mean=10.0, std=2.0, minimum=7.0, maximum=13.0)
YEAR = NumericStatistics(
    count=4, missing=0, mean=2000.0, std=5.0, minimum=1990.0, maximum=2010.0, quantiles=(1995.0, 2000.0, 2005.0)
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Under `--dist loadscope` a folder stays in one process: its tests share costly fixtures.

    Slow tests take far longer than their fixtures, so `make test-slow` asks for `loadfile`.
    """
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # by number of tests; `pytest_collection_modifyitems` knows better
    if config.option.dist != "loadscope":
        return None

    class ByFolder(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return ByFolder(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: min(_place(item.nodeid.partition("::")[0]), _place(scope_of(item.nodeid))))


def _place(name: str) -> int:
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def scope_of(nodeid: str) -> str:
    folder = nodeid.partition("::")[0].rpartition("/")[0]
    if folder in FOLDERS_OF_THE_CHECKERBOARD:
        return "checkerboard"
    return next((shared for shared in FOLDERS_THAT_SHARE_FIXTURES if folder.startswith(shared)), folder)


@pytest.fixture(scope="session")
def schema() -> Schema:
    """One feature of each kind."""
    return Schema(
        query=(
            IdFeature(name="user_id", oov_buckets=2),
            HistoryFeature(name="history", length=4),
            TimestampFeature(name="timestamp", parts=("hour_of_day", "day_of_week", "month", "year")),
            CategoricalFeature(name="device", encoding="hash", num_buckets=8),
            VectorFeature(name="taste", length=2, normalise=False),
        ),
        candidate=(
            IdFeature(name="item_id"),
            CategoricalFeature(name="brand"),
            MultiValuedFeature(name="genres", max_values=3),
            TextFeature(name="title", num_buckets=64, max_tokens=4),
            NumericFeature(name="price"),
            NumericFeature(name="year", encoding="buckets", num_buckets=4),
            VectorFeature(name="cover", length=3),
        ),
    )


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """Vocabularies and statistics for `schema`: users u0-u2, items i0-i4, two brands, two genres."""
    layout = DatasetLayout(tmp_path_factory.mktemp("learnt"))
    write_learnt(layout.root)
    return layout


def write_learnt(root: Path) -> None:
    layout = DatasetLayout(root)
    layout.vocabulary("user_id").parent.mkdir()
    Vocabulary(("u0", "u1", "u2")).write(layout.vocabulary("user_id"))
    Vocabulary(("i0", "i1", "i2", "i3", "i4")).write(layout.vocabulary("item_id"))
    Vocabulary(("acme", "büro")).write(layout.vocabulary("brand"))
    Vocabulary(("drama", "war")).write(layout.vocabulary("genres"))
    Statistics(num_users=3, num_items=5, num_interactions=9, numeric={"price": PRICE, "year": YEAR}).write(
        layout.statistics
    )


@pytest.fixture(scope="session")
def checkerboard(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """The checkerboard recommender: prepared, trained, evaluated and exported once, by the stage functions."""
    from recstack import stages

    stack = write_checkerboard(tmp_path_factory.mktemp("checkerboard"))
    stages.prepare(stack)
    for name in stack.stage_names:
        stages.train(stack, name)
        stages.evaluate(stack, name)
    stages.export(stack)
    return stack
