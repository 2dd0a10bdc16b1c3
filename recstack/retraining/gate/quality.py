"""Rules on the quality of the lists: beside the live model, beside baselines, in parts, and of the cascade."""

from collections.abc import Iterator, Mapping

from features.disk.layout import ModelName
from features.errors import ConfigError
from recstack.retraining.config import GateConfig
from recstack.retraining.gate.check import Check
from recstack.retraining.gate.evidence import Evidence, Lists
from recstack.retraining.gate.pairs import compared, interval_text, metric_name, paired, part_of
from trainer.metrics.protocol import UNKNOWN, Bool

_JUDGED: tuple[ModelName, ...] = ("retrieval", "recommender")


def judged_pairs(evidence: Evidence) -> dict[ModelName, tuple[Lists, Lists]]:
    """New and live lists of the models that are judged; of `retrieval_exact` where neither of the others is there."""
    both = [model for model in evidence.new if model in evidence.live]
    chosen = [model for model in _JUDGED if model in both] or both[:1]
    return {model: (evidence.new[model], evidence.live[model]) for model in chosen}


def not_below_the_live_model(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """The paired difference to the live model is not certainly below minus the margin."""
    for model, (new, live) in judged_pairs(evidence).items():
        before, test = paired(new, live, evidence, gate)
        yield Check(
            rule="quality",
            what=f"upper bound of the difference of {metric_name(gate)} of {model} to the live one",
            measured=test.difference.high,
            bound="at least",
            threshold=-gate.quality.margin * before,
            detail=f"live {before:.4f}, {interval_text(test)}",
        )
    yield from _level(evidence, gate)


def _level(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """What both models reached on their own test windows: where the new data are nonsense, both fail on them alike."""
    name = _evaluated_metric(evidence.evaluation, gate)
    if name in evidence.live_level:
        before = evidence.live_level[name]
        yield Check(
            rule="quality",
            what=f"{name} of retrieval on its own test window",
            measured=evidence.evaluation["model"]["metrics"][name]["value"],
            bound="at least",
            threshold=gate.quality.smallest_level * before,
            detail=f"{gate.quality.smallest_level:g} of the {before:.4f} that the live model reached on its own window",
        )


def above_the_baselines(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """The evaluation over the whole split: above each baseline, or for a later model not certainly below.

    Raises:
        ConfigError: The log has none of the baselines, so that the rule would judge nothing.
    """
    names = gate.baselines.names
    if names and not evidence.evaluation["baselines"]:
        expected = "a baseline that this log can have, such as popularity: context_popularity needs a query feature"
        raise ConfigError("gate.baselines.names", names, expected)
    name = _evaluated_metric(evidence.evaluation, gate)
    for baseline, judged in evidence.evaluation["baselines"].items():
        theirs = judged["metrics"][name]["value"]
        difference = evidence.evaluation["versus"][baseline][name]["difference"]
        yield Check(
            rule="baselines",
            what=f"{'' if evidence.is_first else 'upper bound of the '}difference of {name} to {baseline}",
            measured=difference["value" if evidence.is_first else "high"],
            bound="at least",
            threshold=gate.baselines.margin * theirs,
            detail=f"{theirs + difference['value']:.4f} beside {theirs:.4f}",
        )


def _evaluated_metric(evaluation: Mapping[str, object], gate: GateConfig) -> str:
    """The gate's metric at its cutoff where the evaluation has that, else at the evaluation's first one."""
    cutoffs = evaluation["cutoffs"]
    assert isinstance(cutoffs, list)
    return f"{gate.metric}@{gate.cutoff if gate.cutoff in cutoffs else cutoffs[0]}"


def no_slice_much_worse(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """The slice of each model that is furthest below the live one, as `not_below_the_live_model` judges it."""
    for model, pair in judged_pairs(evidence).items():
        changes = list(_changes_in_slices(pair, evidence, gate))
        worst = min(changes, default=(0.0, "no slice is large enough"))
        yield Check(
            rule="slices",
            what=f"upper bound of the relative change of {metric_name(gate)} of {model} in its worst slice",
            measured=worst[0],
            bound="at least",
            threshold=-gate.slices.margin,
            detail=worst[1],
        )


def _changes_in_slices(pair: tuple[Lists, Lists], evidence: Evidence, gate: GateConfig) -> Iterator[tuple[float, str]]:
    """Upper bound of the relative change, and a description, of each slice that the live model finds targets in."""
    slices = {
        name: part
        for name, kept in _targets_of_slices(evidence).items()
        if len(part := part_of(pair, kept, evidence)) >= gate.slices.smallest
    }
    confidence = 1 - (1 - gate.confidence) / max(len(slices), 1)
    for name, part in slices.items():
        before, test = compared(part, gate, confidence)
        if before > 0:
            detail = f"{name}, {len(part):,} queries, live {before:.4f}, {interval_text(test)}"
            yield test.difference.high / before, detail


def _targets_of_slices(evidence: Evidence) -> dict[str, Bool]:
    """`[total targets] bool` a slice."""
    targets = evidence.targets
    known = targets.values != UNKNOWN
    by_query = {name: chosen[targets.row_of_value] for name, chosen in evidence.query_slices.items()}
    return by_query | {name: chosen[targets.values] & known for name, chosen in evidence.item_slices.items()}


def cascade_not_below_retrieval(evidence: Evidence, gate: GateConfig) -> Iterator[Check]:
    """Where a list ranker orders what retrieval finds, its order is not certainly worse than retrieval's own."""
    if not evidence.has_list_ranker or not {"recommender", "retrieval"} <= evidence.new.keys():
        return
    before, test = paired(evidence.new["recommender"], evidence.new["retrieval"], evidence, gate)
    yield Check(
        rule="cascade",
        what=f"upper bound of the difference of {metric_name(gate)} of recommender to retrieval",
        measured=test.difference.high,
        bound="at least",
        threshold=-gate.cascade.margin * before,
        detail=f"retrieval {before:.4f}, {interval_text(test)}",
    )
