"""Rules on the data that a model was made from: row counts, refused and repeated rows, age, drift."""

from collections.abc import Iterator, Mapping

from features.disk.layout import SPLITS
from recstack.retraining.config import GateConfig
from recstack.retraining.gate.check import Check, band
from recstack.retraining.gate.evidence import DataFacts, Evidence

_REJECTED = "rejected: "
_SECONDS_A_DAY = 86_400


def data_are_sound(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """Rows of the new data, by themselves and beside the live model's."""
    yield from _rows(evidence.data.counts, gate)
    if evidence.live_data is not None:
        yield from _beside(evidence.data, evidence.live_data, gate)
    limit = gate.data.largest_drift
    if limit is not None and evidence.drift:
        name, value = max(evidence.drift.items(), key=lambda pair: pair[1])
        yield Check(
            rule="data",
            what="population stability index of the feature that drifted most",
            measured=value,
            bound="at most",
            threshold=limit,
            detail=name,
        )


def _rows(counts: Mapping[str, int], gate: GateConfig) -> Iterator[Check]:
    read = max(counts.get("interactions_read", 0), 1)
    rejected = sum(count for name, count in counts.items() if name.startswith(_REJECTED))
    for what, count, limit in (
        ("repeat another one", counts.get("interactions_duplicates", 0), gate.data.largest_duplicates),
        ("were refused", rejected, gate.data.largest_rejected),
    ):
        yield Check(
            rule="data",
            what=f"share of the rows that {what}",
            measured=count / read,
            bound="at most",
            threshold=limit,
            detail=f"{count:,} of {read:,}",
        )


def _beside(now: DataFacts, before: DataFacts, gate: GateConfig) -> Iterator[Check]:
    rule = gate.data
    events, former = events_of(now.counts), events_of(before.counts)
    detail = f"{events:,} events, {former:,} behind the live model"
    for bound, threshold in band(rule.smallest_events, rule.largest_events):
        yield Check(
            rule="data",
            what="events, of the live model's",
            measured=events / max(former, 1),
            bound=bound,
            threshold=threshold,
            detail=detail,
        )
    yield Check(
        rule="data",
        what="items of the catalogue, of the live model's",
        measured=now.items / max(before.items, 1),
        bound="at least",
        threshold=rule.smallest_items,
        detail=f"{now.items:,} items, {before.items:,} in the live model",
    )
    if rule.newer and now.newest and before.newest and now.dataset != before.dataset:
        yield Check(
            rule="data",
            what="days from the live model's newest event to the newest one",
            measured=(now.newest - before.newest) / _SECONDS_A_DAY,
            bound="at least",
            threshold=1 / _SECONDS_A_DAY,
        )


def events_of(counts: Mapping[str, int]) -> int:
    """Events of all splits."""
    return sum(counts.get(f"events_{split}", 0) for split in SPLITS)
