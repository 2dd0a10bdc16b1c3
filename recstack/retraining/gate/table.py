"""The rules of the gate by name: a new one is a function, its options in `[gate]` and a line here."""

from collections.abc import Callable, Iterable, Mapping

from recstack.retraining.config import GateConfig
from recstack.retraining.gate import data, export, lists, quality
from recstack.retraining.gate.check import Check
from recstack.retraining.gate.evidence import Evidence

RULES: Mapping[str, Callable[[Evidence, GateConfig], Iterable[Check]]] = {
    "quality": quality.not_below_the_live_model,
    "baselines": quality.above_the_baselines,
    "slices": quality.no_slice_much_worse,
    "cascade": quality.cascade_not_below_retrieval,
    "index": export.index_finds_the_exact_lists,
    "parity": export.serving_is_as_training,
    "budgets": export.within_budgets,
    "predictions": lists.lists_resemble_the_live_ones,
    "coverage": lists.catalogue_is_shown,
    "data": data.data_are_sound,
}


def judge(evidence: Evidence, gate: GateConfig) -> list[Check]:
    """What each rule that is on says, in the table's order."""
    return [check for name, rule in RULES.items() if getattr(gate, name).enabled for check in rule(evidence, gate)]
