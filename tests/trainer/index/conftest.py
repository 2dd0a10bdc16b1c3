"""Embeddings of low intrinsic dimension, as trained towers give them, and one index of each kind over them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import get_args, get_type_hints

import numpy as np
import numpy.typing as npt
import pytest

from features.serialization import structure
from trainer.config.index import INDEXES, IndexConfig
from trainer.index.base import Index
from trainer.index.report import ScannParameters

NUM_ITEMS, DIM, NUM_LEAVES = 500, 16, 20


@dataclass(frozen=True)
class Case:
    kind: str
    precision: str = "float32"

    def __str__(self) -> str:
        return f"{self.kind}-{self.precision}"


def _precisions(kind: str) -> tuple[str, ...]:
    return get_args(get_type_hints(INDEXES.options(kind)).get("precision")) or ("float32",)


# Every kind at every precision; `auto` stands for the others.
CASES = [Case(kind, precision) for kind in INDEXES.names if kind != "auto" for precision in _precisions(kind)]


def low_rank(num: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    basis = np.random.default_rng(7).normal(size=(6, dim))
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(num, 6)) @ basis + 0.3 * rng.normal(size=(num, dim))).astype(np.float32)


def exhaustive_index(case: Case, embeddings: npt.NDArray[np.float32]) -> Index:
    """Returns an index that searches every leaf and rescores every item, so that its answers are known."""
    precision = {"precision": case.precision} if case.precision in _precisions(case.kind)[1:] else {}
    config = structure({"kind": case.kind} | precision, IndexConfig)
    index_class = INDEXES.implementation(config)
    if not case.kind.startswith("scann"):
        return index_class(embeddings, config)
    leaves = NUM_LEAVES if case.kind == "scann_tree" else 0
    parameters = ScannParameters(num_leaves=leaves, leaves_to_search=leaves, num_rescored=len(embeddings))
    return index_class(embeddings, config, parameters)


@pytest.fixture(scope="session")
def embeddings() -> npt.NDArray[np.float32]:
    return low_rank(NUM_ITEMS, DIM, seed=0)


@pytest.fixture(scope="session")
def queries() -> npt.NDArray[np.float32]:
    return low_rank(40, DIM, seed=1)


@pytest.fixture(scope="session")
def index_of(embeddings: npt.NDArray[np.float32]) -> Callable[[Case], Index]:
    return cache(lambda case: exhaustive_index(case, embeddings))


@pytest.fixture(scope="session", params=CASES, ids=str)
def index(request: pytest.FixtureRequest, index_of: Callable[[Case], Index]) -> Index:
    return index_of(request.param)


def _fast_if_typical(case: Case):
    is_typical = case in (Case("exact"), Case("scann_tree"))
    return pytest.param(case, id=str(case), marks=() if is_typical else pytest.mark.slow)


@pytest.fixture(scope="session", params=map(_fast_if_typical, CASES))
def case(request: pytest.FixtureRequest) -> Case:
    """Every kind, for tests that take seconds each: one exact and one ScaNN kind among the fast tests."""
    return request.param
