"""Rules on what was exported: the index, parity with training, sizes and latencies."""

from collections.abc import Iterator

import numpy as np

from features.disk.layout import ModelName
from recstack.retraining.config import GateConfig
from recstack.retraining.gate.check import Check
from recstack.retraining.gate.evidence import Evidence
from trainer.metrics.protocol import UNKNOWN

_INDEXED: tuple[ModelName, ...] = ("retrieval", "retrieval_exact")
_MIB = 2**20


def index_finds_the_exact_lists(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """Recall of each SavedModel's lists against the trained model's exact ranking of the same queries."""
    for model in _INDEXED:
        if model in evidence.new:
            found, expected = evidence.new[model].rows, evidence.exact
            hits = sum(np.isin(e[e != UNKNOWN], f).sum() for f, e in zip(found, expected, strict=True))
            yield Check(
                rule="index",
                what=f"recall@{gate.cutoff} of {model} against the exact ranking",
                measured=float(hits / max(np.count_nonzero(expected != UNKNOWN), 1)),
                bound="at least",
                threshold=gate.index.smallest_recall,
            )


def serving_is_as_training(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """Largest difference between what the SavedModels and the trained models make of the same records."""
    for what, computed in evidence.computed_twice.items():
        scale = float(np.abs(computed.trained).max(initial=0.0)) or 1.0
        yield Check(
            rule="parity",
            what=f"largest difference of {what}, served and trained",
            measured=float(np.abs(computed.served - computed.trained).max(initial=0.0)) / scale,
            bound="at most",
            threshold=gate.parity.tolerance,
            detail=f"{len(computed.trained):,} records, relative to the largest value {scale:.3g}",
        )


def within_budgets(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """Sizes, absolutely and beside the live models, and latencies through a server."""
    budgets = gate.budgets
    for model, size in evidence.new_bytes.items():
        limit, why = budgets.largest_mib, "gate.budgets.largest_mib"
        if model in evidence.live_bytes:
            growth = budgets.largest_growth * evidence.live_bytes[model] / _MIB
            limit, why = min((limit, why), (growth, f"{budgets.largest_growth:g} times the live model's size"))
        yield Check(
            rule="budgets",
            what=f"MiB of {model}",
            measured=size / _MIB,
            bound="at most",
            threshold=limit,
            detail=why,
        )
    for model, milliseconds in evidence.milliseconds.items():
        yield Check(
            rule="budgets",
            what=f"99th percentile of the latency of {model}, ms",
            measured=milliseconds,
            bound="at most",
            threshold=budgets.largest_p99,
        )
