"""What `recstack tune ranking` searches for the ranking model.

To search another field, add a line to `SETTINGS`; to have a value tried early and alone, add one to `TRIES`.
"""

from collections.abc import Mapping
from typing import Any

from recstack.tuning.settings import (
    Choice,
    Kind,
    LogFacts,
    Range,
    Searched,
    Setting,
    Start,
    Table,
    Widths,
    multiples,
    these,
)
from trainer.config.ranking import MULTI_TASKS, NETWORKS, RankingConfig


def _networks(start: Start) -> tuple[str, ...]:
    """The networks that the log has inputs for."""
    return tuple(kind for kind in NETWORKS.names if start.facts.has_history or not NETWORKS.options(kind).reads_history)


def _has_tasks(table: Table, facts: LogFacts) -> bool:
    return facts.tasks > 1


SETTINGS: tuple[Setting, ...] = (
    Kind(field="network.kind", values=_networks, kinds=NETWORKS),
    # Whole multiples of four, so that the heads of an encoder divide them.
    Choice(field="dimension", values=these(8, 16, 32, 64)),
    Widths(field="network.hidden", values=these("32", "64", "128", "64-32", "128-64", "256-128")),
    Range(field="network.dropout", low=0.0, high=0.5),
    Choice(field="network.cross_layers", values=these(1, 2, 3)),
    Choice(field="network.cross_rank", values=these(0, 16, 32, 64)),
    Kind(field="multi_task.kind", values=these(*MULTI_TASKS.names), kinds=MULTI_TASKS, when=_has_tasks),
    Choice(field="members", values=these(1, 2, 4)),
    Choice(field="embedding_decay", values=these(0.0, 1e-5, 1e-4, 1e-3, 1e-2)),
    Range(field="optimizer.learning_rate", low=0.0003, high=0.01, log=True),
    Choice(field="batch_size", values=multiples("batch_size", 0.5, 1, 2)),
    Choice(field="epochs", values=multiples("epochs", 0.5, 1, 2)),
)
"""In the order in which they are chosen."""

TRIES: tuple[Mapping[str, Any], ...] = (
    {"embedding_decay": 1e-3},
    {"dimension": 32},
    {"members": 4},
    {"optimizer.learning_rate": 0.001},
    {"network.dropout": 0.3},
    {"network.kind": "din"},
    {"network.hidden": "128-64"},
)

RANKING = Searched(stage="ranking", config=RankingConfig, metric="-loss", settings=SETTINGS, tries=TRIES)
