from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.study import Study

from features.disk.searches import TuningLayout
from features.errors import RecstackError
from recstack.config import StackConfig, load_config
from recstack.tuning.search import Limits, TrialReport, search
from recstack.tuning.space import Space
from recstack.tuning.tune import conclude
from tests.recstack.tuning.conftest import SEQUENCES


@pytest.mark.slow
def test_what_is_found_is_a_configuration_and_a_page(
    opened: Callable[[], Study], space: Space, layout: TuningLayout
) -> None:
    def objective(stack: StackConfig, report: TrialReport) -> float:
        if stack.retrieval.encoder.side_features:
            raise RecstackError("<diverged>")
        return stack.retrieval.dimension / 1000 + stack.retrieval.optimizer.learning_rate

    study = opened()
    assert "Too few finished trials" in _page(conclude(layout, study, space, SEQUENCES).layout.report)
    search(study, space, objective, Limits(until=4e9, trials=16))
    found = conclude(layout, study, space, SEQUENCES)
    assert found.best is not None
    assert found.first is not None
    assert (found.first.number, found.first.quality) == (0, 0.064 + 0.003)
    best = load_config(layout.config)
    assert best == space.stack_of(found.best.params)
    assert best.retrieval.dimension >= 192
    head = layout.config.read_text("utf-8").splitlines()[0]
    finished = sum(trial.quality is not None for trial in found.trials)
    assert 0 < finished < len(found.trials) == 16
    assert f"{found.best.quality:.4f} (0.0670 before), the best of {finished} finished trials of 16" in head
    page = _page(layout.report)
    assert page.count("<svg") == 2
    assert "dimension</text>" in page  # the setting that matters
    assert "&lt;diverged&gt;" in page


def test_before_a_trial_is_finished_the_configuration_is_as_it_was(
    opened: Callable[[], Study], space: Space, layout: TuningLayout
) -> None:
    found = conclude(layout, opened(), space, SEQUENCES)
    assert found.best is None
    assert load_config(layout.config) == space.base


def _page(path: Path) -> str:
    return path.read_text("utf-8")
