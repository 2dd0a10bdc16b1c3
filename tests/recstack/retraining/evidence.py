"""Evidence in which every rule of the gate finds what it looks for: eight users, ten items, lists of two.

And the record of a retraining that has come to the gate.
"""

import numpy as np

from recstack.retraining.config import GateConfig, SlicesRule
from recstack.retraining.gate.evidence import ComputedTwice, DataFacts, Evidence, Lists
from recstack.retraining.record import RetrainingRecord
from trainer.metrics.protocol import Ragged

USERS, ITEMS = 8, 10
GATE = GateConfig(metric="recall", cutoff=2, slices=SlicesRule(smallest=2))
# User u is to be shown the items u and u + 1.
TARGETS = np.stack([np.arange(USERS), np.arange(USERS) + 1], axis=1)
COUNTS = {"interactions_read": 100, "events_train": 80, "events_validation": 10, "events_test": 10}
FACTS = DataFacts(counts=COUNTS, items=ITEMS, dataset="a", newest=1_000)
RECORD = RetrainingRecord(
    id="0a1b",
    began="2026-11-29T03:00:00+00:00",
    updated="2026-11-29T03:10:00+00:00",
    run="39865",
    parent="17042",
    dataset="d",
    window=("2026-10-01", "2026-11-01"),
    code="0.1.0",
    seconds={"train": 83.25, "gate": 12.0},
)


def lists(rows: np.ndarray) -> Lists:
    scores = np.linspace(1.0, 2.0, rows.size, dtype=np.float32).reshape(rows.shape)
    return Lists(rows=rows.astype(np.int64), scores=scores)


def perfect() -> Lists:
    """Recall@2 = 1."""
    return lists(TARGETS)


def half(users: int = USERS) -> Lists:
    """The second item of the first users is a wrong one, which costs each of them half of the recall."""
    rows = TARGETS.copy()
    rows[:users, 1] = (rows[:users, 0] + 5) % ITEMS
    return lists(rows)


def evaluation(model: float, popularity: float, low: float, high: float) -> dict:
    difference = {"value": model - popularity, "low": low, "high": high}
    return {
        "cutoffs": [2],
        "model": {"metrics": {"recall@2": {"value": model}}},
        "baselines": {"popularity": {"metrics": {"recall@2": {"value": popularity}}}},
        "versus": {"popularity": {"recall@2": {"difference": difference, "p_value": 0.5}}},
    }


def evidence(**changes: object) -> Evidence:
    """A second night like the first, with the given changes."""
    numbers = np.linspace(-2.0, 2.0, 6, dtype=np.float32).reshape(3, 2)
    values: dict = {
        "targets": Ragged.from_lengths(np.full(USERS, 2), TARGETS.reshape(-1)),
        "groups": np.arange(USERS),
        "query_slices": {"even users": np.arange(USERS) % 2 == 0},
        "item_slices": {"first items": np.arange(ITEMS) < 5},
        "popularity": np.arange(1, ITEMS + 1),
        "new": {"retrieval": perfect(), "recommender": perfect()},
        "live": {"retrieval": perfect(), "recommender": perfect()},
        "exact": TARGETS,
        "computed_twice": {"query vectors": ComputedTwice(served=numbers, trained=numbers)},
        "evaluation": evaluation(0.5, 0.25, 0.2, 0.3),
        "live_level": {"recall@2": 0.5},
        "new_bytes": {"retrieval": 2**20},
        "live_bytes": {"retrieval": 2**20},
        "milliseconds": {"retrieval": 3.0},
        "data": FACTS,
        "live_data": FACTS,
        "has_list_ranker": True,
        "drift": {"price": 0.1},
    }
    return Evidence(**values | changes)
