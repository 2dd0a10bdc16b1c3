"""What `recstack tune` searches for retrieval: a table of settings, and what of it makes sense for a log.

To search another field, add a line to `SETTINGS`; to have a value tried early and alone, add one to `TRIES`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.serialization import unstructure
from recstack.tuning.settings import (
    Choice,
    Kind,
    LogFacts,
    Multiple,
    Range,
    Searched,
    Setting,
    Start,
    Table,
    multiples,
    these,
)
from trainer.config.encoders import ENCODERS
from trainer.config.losses import LOSSES
from trainer.config.negatives import NEGATIVES
from trainer.config.retrieval import RetrievalConfig

# Catalogues up to this size are compared with as a whole, and up to the other one have a start from singular vectors.
_WHOLE_CATALOGUE, _MOST_SVD = 20_000, 300_000
_SEQUENCE: Mapping[str, Any] = {"examples": "sequence"}
_TEMPERATURES = {"cosine": 0.1, "dot": 1.0}

# What lies behind the encoders: attention needs all positions of a sequence in one pass, a set has no order.
_ENCODERS: Mapping[str, tuple[str, ...]] = {
    "sequence": ("transformer", "hstu", "gru", "recency"),
    "event": ("recency", "mean", "transformer"),
    "basket": ("recency", "mean"),
    "set": (),
}


@dataclass(frozen=True, kw_only=True)
class Score(Choice):
    """Cosine or inner product. A change rescales `loss.temperature`: 0.1 for `cosine` becomes 1 for `dot`."""

    def write(self, table: Table, value: Any) -> None:
        """Gives the table the score and a temperature that suits it."""
        if self.read(table) != value:
            factor = table["loss"]["temperature"] / _usual_temperature(table)
            super().write(table, value)
            table["loss"]["temperature"] = factor * _usual_temperature(table)


@dataclass(frozen=True, kw_only=True)
class Members(Choice):
    """The kind of the second model of an ensemble, which has the first one's dropout and side features."""

    def counts(self, table: Table, facts: LogFacts) -> bool:
        """Whether the log has a use for it; a larger ensemble stays as it is."""
        return len(table["ensemble"]) <= 1 and self.when(table, facts)

    def read(self, table: Table) -> Any:
        """The member's kind, or `none`."""
        return table["ensemble"][0]["kind"] if table["ensemble"] else "none"

    def write(self, table: Table, value: Any) -> None:
        """Gives the table the member, or none."""
        if self.read(table) != value:
            shared = {name: table["encoder"][name] for name in ("dropout", "side_features")}
            table["ensemble"] = [] if value == "none" else [unstructure(ENCODERS.options(value)(**shared))]


@dataclass(frozen=True, kw_only=True)
class LeftOut(Choice):
    """A feature that is not learnt from."""

    def counts(self, table: Table, facts: LogFacts) -> bool:
        """Whether the log has a use for it; a list of several features stays as it is."""
        return len(table["leave_out"]) <= 1 and self.when(table, facts)

    def read(self, table: Table) -> Any:
        """The feature's name, or nothing."""
        return table["leave_out"][0] if table["leave_out"] else ""

    def write(self, table: Table, value: Any) -> None:
        """Gives the table the feature, or none."""
        table["leave_out"] = [value] if value else []


def _usual_temperature(table: Table) -> float:
    return _TEMPERATURES[table["score"]]


def _encoders(start: Start) -> tuple[str, ...]:
    """The encoders that suit the examples; customers who buy again need `repeat`, which sequences do not have."""
    kinds = _ENCODERS[start.table["examples"]]
    return tuple(kind for kind in kinds if kind != "transformer" or not start.table["repeat"])


def _is_sequence(table: Table, facts: LogFacts) -> bool:
    return bool(table["examples"] == "sequence")


def _has_sides(table: Table, facts: LogFacts) -> bool:
    return facts.has_side_features


def _has_content(table: Table, facts: LogFacts) -> bool:
    return facts.has_content


def _encodes_sides(table: Table, facts: LogFacts) -> bool:
    return facts.has_side_features and facts.has_history


def _buys_again(table: Table, facts: LogFacts) -> bool:
    can_repeat = facts.has_history and table["examples"] in ("event", "basket") and not facts.is_compiled
    return facts.takes_again and can_repeat


def _is_small(table: Table, facts: LogFacts) -> bool:
    return facts.items <= _WHOLE_CATALOGUE


def _ages(table: Table, facts: LogFacts) -> bool:
    return facts.is_split_by_time


def _has_pairs_a_head(table: Table, facts: LogFacts) -> bool:
    """Whether up to four heads have an even number of components each, as rotary positions need."""
    return bool(table["dimension"] % 8 == 0)


def _can_leave_user_out(table: Table, facts: LogFacts) -> bool:
    """Whether the history would stand for the user; a table of the user's own says that it is to be learnt."""
    return bool(facts.user_beside_history) and facts.user_beside_history not in table["embedding"]


def _has_history(table: Table, facts: LogFacts) -> bool:
    return facts.has_history and table["examples"] != "set"


SETTINGS: tuple[Setting, ...] = (
    LeftOut(
        field="leave_out",
        values=lambda start: ("", start.facts.user_beside_history),
        when=_can_leave_user_out,
    ),
    Kind(
        field="encoder.kind",
        values=_encoders,
        kinds=ENCODERS,
        beside={"transformer": _SEQUENCE, "hstu": _SEQUENCE, "gru": _SEQUENCE},
        when=_has_history,
    ),
    Score(field="score", values=these("cosine", "dot")),
    Choice(field="dimension", values=these(32, 64, 128, 192, 256)),
    Choice(field="encoder.layers", values=these(1, 2, 3)),
    Choice(field="encoder.heads", values=these(1, 2, 4), when=_has_pairs_a_head),
    Choice(field="encoder.positions", values=these("learnt", "rotary"), when=_has_pairs_a_head),
    Choice(field="encoder.feed_forward", values=these("gelu", "swiglu")),
    Choice(field="encoder.gated", values=these(False, True)),
    Range(field="encoder.dropout", low=0.0, high=0.6),
    Choice(field="encoder.side_features", values=these(False, True), when=_encodes_sides),
    Kind(field="loss.kind", values=these("softmax", "gbce"), kinds=LOSSES),
    Multiple(field="loss.temperature", low=0.5, high=2.0, log=True, usual=_usual_temperature),
    Kind(field="negatives.kind", values=these("all", "uniform", "popular"), kinds=NEGATIVES, when=_is_small),
    Choice(field="negatives.num_negatives", values=these(512, 1024, 2048, 4096, 8192)),
    Choice(
        field="initialisation",
        values=these("random", "svd"),
        when=lambda table, facts: facts.items <= _MOST_SVD,
    ),
    Choice(field="id_dropout", values=these(0.0, 0.1, 0.2), when=_has_sides),
    Choice(field="content_weight", values=these(0.0, 0.1, 0.3), when=_has_content),
    Choice(field="semantic_ids.levels", values=these(0, 3), when=_has_content),
    Choice(field="half_life", values=these(0.0, 0.25, 0.5, 1.0), when=_ages),
    Choice(field="augmentation.crop", values=these(0.0, 0.25, 0.5), when=_has_history),
    Choice(field="augmentation.mask", values=these(0.0, 0.1, 0.2), when=lambda table, facts: facts.has_history),
    Choice(field="augmentation.substitute", values=these(0.0, 0.1, 0.2), when=lambda table, facts: facts.has_history),
    Choice(field="repeat", values=these(0.0, 1.0, 2.0, 4.0), when=_buys_again),
    Range(field="optimizer.learning_rate", low=0.0005, high=0.01, log=True),
    Choice(field="batch_size", values=multiples("batch_size", 0.5, 1, 2)),
    Choice(field="epochs", values=multiples("epochs", 0.5, 1, 1.5, 2)),
    Members(field="ensemble", values=these("none", "gru"), when=_is_sequence),
)
"""In the order in which they are chosen."""

TRIES: tuple[Mapping[str, Any], ...] = (
    {"leave_out": "user_id"},
    {"encoder.kind": "transformer", "score": "dot", "dimension": 128, "optimizer.learning_rate": 0.002},
    {"dimension": 128},
    {"ensemble": "gru"},
    {"encoder.layers": 2, "encoder.heads": 2},
    {"encoder.side_features": True},
    {"half_life": 0.25},
    {"repeat": 2.0},
    {"encoder.dropout": 0.3},
    {"optimizer.learning_rate": 0.001},
    {"loss.temperature": 1.4},
    {"initialisation": "svd"},
    {"encoder.dropout": 0.5},
    {"dimension": 192},
    {"optimizer.learning_rate": 0.004},
    {"id_dropout": 0.1},
)
"""Changes that helped on other logs, by field; each is tried on top of the best so far before the sampler chooses."""

RETRIEVAL = Searched(stage="retrieval", config=RetrievalConfig, metric="ndcg@20", settings=SETTINGS, tries=TRIES)
