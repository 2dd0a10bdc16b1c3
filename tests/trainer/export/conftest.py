"""The checkerboard's trained model and its exact SavedModel, loaded once for all tests of this folder."""

from typing import Any

import pytest

from recstack.config import StackConfig
from recstack.stages import stage_context
from tests.trainer.export.loading import load
from trainer.restore import Trained, restore
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers


@pytest.fixture(scope="session")
def trained(checkerboard: StackConfig) -> Trained[TwoTowers]:
    stack = checkerboard
    return restore(stage_context(stack), RetrievalStage(config=stack.retrieval))


@pytest.fixture(scope="session")
def exact(checkerboard: StackConfig) -> Any:
    return load(checkerboard, "retrieval_exact")
