"""A search space and studies without any training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.study import Study

from features.disk.searches import TuningLayout
from recstack.config import StackConfig, parse_config
from recstack.tuning.searched.retrieval import RETRIEVAL
from recstack.tuning.settings import LogFacts
from recstack.tuning.space import Space
from recstack.tuning.study import begin, mend_journal, open_study

SEQUENCES = """
[[features.query]]
kind = "history"

[[features.candidate]]
kind = "id"
name = "item_id"

[[features.candidate]]
kind = "categorical"
name = "brand"

[pipeline.interactions]
path = "log.csv"

[retrieval]
dimension = 64
score = "dot"
examples = "sequence"
epochs = 8

[retrieval.encoder]
kind = "transformer"
dropout = 0.5

[retrieval.loss]
temperature = 1.0
"""


FACTS = LogFacts(items=1000, has_history=True, has_side_features=True, is_split_by_time=False, takes_again=False)


def facts(**others: Any) -> LogFacts:
    return replace(FACTS, **others)


@pytest.fixture(scope="session")
def base() -> StackConfig:
    return parse_config(SEQUENCES)


@pytest.fixture
def space(base: StackConfig) -> Space:
    return Space(base=base, facts=facts(), searched=RETRIEVAL)


@pytest.fixture
def layout(tmp_path: Path) -> TuningLayout:
    return TuningLayout(tmp_path)


@pytest.fixture
def opened(layout: TuningLayout, space: Space) -> Callable[[], Study]:
    """Opens the study as each call of `recstack tune` does."""

    def call() -> Study:
        mend_journal(layout)
        study = open_study(layout, 0)
        begin(study, space)
        return study

    return call
