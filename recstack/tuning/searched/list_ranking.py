"""What `recstack tune list_ranking` searches for the list ranker, on candidates that the same retrieval found.

To search another field, add a line to `SETTINGS`; to have a value tried early and alone, add one to `TRIES`.
"""

from collections.abc import Mapping
from typing import Any

from recstack.tuning.settings import Choice, Range, Searched, Setting, Widths, multiples, these
from trainer.config.cascade import ListRankerConfig

SETTINGS: tuple[Setting, ...] = (
    Choice(field="loss", values=these("softmax", "lambda_ndcg", "pairwise", "logistic")),
    Widths(field="hidden", values=these("", "32", "64-32", "128-64", "256-128")),
    Range(field="dropout", low=0.0, high=0.5),
    Choice(field="members", values=these(1, 2, 4, 8)),
    Range(field="optimizer.learning_rate", low=0.0003, high=0.01, log=True),
    Choice(field="batch_size", values=multiples("batch_size", 0.5, 1, 2)),
    Choice(field="epochs", values=multiples("epochs", 0.5, 1, 2)),
)
"""In the order in which they are chosen."""

TRIES: tuple[Mapping[str, Any], ...] = (
    {"dropout": 0.3},
    {"members": 8},
    {"hidden": "128-64"},
    {"optimizer.learning_rate": 0.001},
    {"loss": "lambda_ndcg"},
)

LIST_RANKING = Searched(
    stage="list_ranking",
    config=ListRankerConfig,
    metric="ndcg",
    settings=SETTINGS,
    tries=TRIES,
    behind=("retrieval",),
    kept="folds",
)
