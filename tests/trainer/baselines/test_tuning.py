from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tests.ragged import ragged as ragged_rows
from trainer.baselines.contract import Baseline, Grid
from trainer.baselines.popularity import FixedScorer
from trainer.baselines.tuning import tune
from trainer.metrics.protocol import EvaluationSet, Interactions

EVENTS = Interactions.from_events(np.array([0]), np.array([0]), np.array([0]), num_users=1, num_items=4)
NOTHING = ragged_rows([[]])
VALIDATION = EvaluationSet(
    user_rows=np.array([0]),
    history=NOTHING,
    history_timestamps=np.empty(0, np.int64),
    seen=NOTHING,
    targets=ragged_rows([[3]]),
    num_items=4,
)


@dataclass(frozen=True, kw_only=True)
class Shelf(Baseline):
    """Ranks the target (item 3) better the nearer `left` is to 2 and, less, `right` to 5."""

    left: int = 0
    right: int = 0
    grid: ClassVar[Grid] = {"left": (0, 1, 2, 3), "right": (4, 5)}

    def fit(self, interactions: Interactions) -> FixedScorer:
        ahead = min(abs(self.left - 2) + (self.right != 5), 3)
        scores = np.array([1.0] * ahead + [-1.0] * (3 - ahead) + [0.0], dtype=np.float32)
        return FixedScorer(scores)


def test_each_parameter_is_set_to_its_best_value_in_turn() -> None:
    tuned = tune(Shelf(), EVENTS, VALIDATION, metric="mrr@4")
    assert tuned.baseline == Shelf(left=2, right=5)
    assert max(trial.value for trial in tuned.trials) == 1.0
    assert [trial.baseline for trial in tuned.trials] == [
        Shelf(left=0),
        Shelf(left=1),
        Shelf(left=2),
        Shelf(left=3),
        Shelf(left=2, right=4),
        Shelf(left=2, right=5),
    ]


def test_the_first_of_equal_variants_wins() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Indifferent(Shelf):
        def fit(self, interactions: Interactions) -> FixedScorer:
            return FixedScorer(np.zeros(4, dtype=np.float32))

    assert tune(Indifferent(), EVENTS, VALIDATION).baseline == Indifferent()
