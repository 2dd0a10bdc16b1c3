"""The checkerboard's trained model and its exact SavedModel, loaded once for all tests of this folder."""

from typing import Any

import pytest

from recstack.config import StackConfig
from tests.trainer.export.loading import load
from trainer.restore import TrainedRetrieval, restore_retrieval


@pytest.fixture(scope="session")
def trained(checkerboard: StackConfig) -> TrainedRetrieval:
    stack = checkerboard
    return restore_retrieval(stack.features, stack.layout.dataset, stack.layout.stage("retrieval"), stack.retrieval)


@pytest.fixture(scope="session")
def exact(checkerboard: StackConfig) -> Any:
    return load(checkerboard, "retrieval_exact")
