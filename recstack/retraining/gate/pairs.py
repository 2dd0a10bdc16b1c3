"""Two lists of the same queries, compared query by query."""

from dataclasses import dataclass

import numpy as np

from recstack.retraining.config import GateConfig
from recstack.retraining.gate.evidence import Evidence, Lists
from trainer.metrics.intervals import PairedTest, paired_test
from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import Bool, Int, Ragged


@dataclass(frozen=True, kw_only=True)
class PairedLists:
    """What two models answer to the same queries."""

    new: Int
    """`[queries, k] int64`: item rows of the model that is judged."""
    live: Int
    """`[queries, k] int64`: item rows of the model that it is compared with."""
    targets: Ragged
    """The items that each query should find, at least one."""
    groups: Int
    """`[queries] int64`: the user of each query, numbered from 0."""

    def __len__(self) -> int:
        return len(self.targets)


def metric_name(gate: GateConfig) -> str:
    """Such as `ndcg@10`."""
    return f"{gate.metric}@{gate.cutoff}"


def paired(new: Lists, live: Lists, evidence: Evidence, gate: GateConfig) -> tuple[float, PairedTest]:
    """The live lists' mean metric, and the paired difference of the new ones to it."""
    lists = PairedLists(new=new.rows, live=live.rows, targets=evidence.targets, groups=evidence.groups)
    return compared(lists, gate, gate.confidence)


def part_of(pair: tuple[Lists, Lists], kept: Bool, evidence: Evidence) -> PairedLists:
    """The queries with a target among those that are kept, `[total targets] bool`; other targets do not count."""
    targets = evidence.targets.where(kept)
    some = np.flatnonzero(targets.lengths)
    return PairedLists(
        new=pair[0].rows[some],
        live=pair[1].rows[some],
        targets=targets.take(some),
        groups=np.unique(evidence.groups[some], return_inverse=True)[1],
    )


def compared(lists: PairedLists, gate: GateConfig, confidence: float) -> tuple[float, PairedTest]:
    """The live lists' mean metric, and the paired difference of the new ones to it, of one query or more."""
    ours, theirs = (
        query_metrics(rows, lists.targets, (gate.cutoff,))[metric_name(gate)] for rows in (lists.new, lists.live)
    )
    return float(theirs.mean()), paired_test(ours, theirs, lists.groups, confidence=confidence)


def interval_text(test: PairedTest) -> str:
    """The difference and its interval."""
    found = test.difference
    return f"difference {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
