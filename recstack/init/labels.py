"""Which column, if any, says how much an event is worth: a rating, a kind of event, or whether somebody clicked."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from recstack.init import names
from recstack.init.proposal import Setting

_TABLE = "pipeline.label"
_MOST_TYPES = 30
_LEAST_TYPES_BY_VALUES = 2
_MOST_RATINGS = 101
_MOST_LIKED = 0.6
# Weight of an example by what its event is called; the first fitting word counts.
_WEIGHTS = {
    0.0: "impression impressions exposure display shown served remove removed return returned refund dislike skip hide",
    5.0: "purchase purchased buy bought order ordered transaction checkout paid conversion booking subscribe",
    3.0: "cart basket addtocart add wishlist favorite favourite fav save bookmark",
    2.0: "like share comment rate follow download",
    1.0: "view click pageview detail play open visit read watch listen pv",
}
_UNCLEAR = 1.0


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Settings of `[pipeline.label]` and the columns they read."""

    settings: tuple[Setting, ...]
    """Empty where every event is worth the same."""
    columns: frozenset[str]
    """Columns of the interactions."""
    has_negatives: bool = False
    """Whether the log holds events that are no positive interactions, or ratings."""
    positive_kinds: tuple[str, ...] = ()
    """Kinds of events that enter histories."""


def find_labels(events: TableProfile, taken: frozenset[str]) -> Labels:
    """Finds a kind of event, a click or a rating, in this order.

    Args:
        events: the interactions.
        taken: columns that have a role.
    """
    free = [column for column in events.columns if column.name not in taken]
    for find in (_event_types, _clicks, _ratings):
        for column in free:
            found = find(column)
            if found is not None:
                return found
    return Labels(settings=(), columns=frozenset())


def _event_types(column: ColumnProfile) -> Labels | None:
    if column.kind != "text" or not 2 <= column.distinct <= _MOST_TYPES:
        return None
    named = set(names.words(column.name))
    kinds = column.values.drop_null().value_counts().sort("descending", by="counts")
    weights = {str(kind): _weight(str(kind)) for kind in kinds.field("values").to_pylist()}
    unclear = [kind for kind, weight in weights.items() if weight is None]
    by_name = named & names.EVENT_TYPE and (len(unclear) < len(weights) or {"event", "action", "behavior"} & named)
    # In a column that is called something else, or in another language, most values have to be kinds of events.
    if not by_name and len(weights) < max(_LEAST_TYPES_BY_VALUES, 2 * len(unclear) + 1):
        return None
    known = {kind: _UNCLEAR if weight is None else weight for kind, weight in weights.items()}
    why = "how much each kind of event counts; 0: shown or taken back, no positive interaction"
    why += f"; not understood, so 1: {', '.join(unclear)}" if unclear else ""
    return _typed(column, known, f"{column.distinct} kinds of events", why)


def _weight(kind: str) -> float | None:
    found = set(names.words(kind)) | {"".join(names.words(kind))}
    for weight, meant in _WEIGHTS.items():
        if found & set(meant.split()) or any(word.rstrip("s") in meant.split() for word in found):
            return weight
    return None


def _clicks(column: ColumnProfile) -> Labels | None:
    if not set(names.words(column.name)) & names.CLICK or column.distinct != 2:
        return None
    values = set(pc.cast(column.values, pa.string()).drop_null().unique().to_pylist())
    for no, yes in (("0", "1"), ("false", "true"), ("False", "True")):
        if values == {no, yes}:
            share = float(pc.mean(pc.equal(pc.cast(column.values, pa.string()), yes)).as_py())
            why = f"{share:.1%} of the events are {yes}; the others are what was shown in vain"
            return _typed(column, {no: 0.0, yes: 1.0}, "says whether the event was a success", why)
    return None


def _typed(column: ColumnProfile, weights: dict[str, float], what: str, why: str) -> Labels:
    settings = (
        Setting(table=_TABLE, name="event_type_column", value=column.name, why=what),
        Setting(table=_TABLE, name="event_weights", value=weights, why=why),
    )
    return Labels(
        settings=settings,
        columns=frozenset({column.name}),
        has_negatives=0.0 in weights.values(),
        positive_kinds=tuple(kind for kind, weight in weights.items() if weight > 0),
    )


def _ratings(column: ColumnProfile) -> Labels | None:
    is_named = set(names.words(column.name)) & names.RATING
    if column.kind not in ("integer", "number") or not is_named or not 2 <= column.distinct <= _MOST_RATINGS:
        return None
    values = pc.cast(column.values.drop_null(), pa.float64()).to_numpy(zero_copy_only=False)
    levels, counts = np.unique(values, return_counts=True)
    at_least = np.cumsum(counts[::-1])[::-1] / len(values)
    # The lowest rating that a little more than half of the events reach at most; the best one where all are alike.
    place = int(np.argmax(at_least <= _MOST_LIKED)) if (at_least <= _MOST_LIKED).any() else len(levels) - 1
    threshold, liked = float(levels[place]), float(at_least[place])
    settings = (
        Setting(
            table=_TABLE,
            name="rating_column",
            value=column.name,
            why=f"{len(levels)} different values from {levels[0]:g} to {levels[-1]:g}",
        ),
        Setting(table=_TABLE, name="threshold", value=threshold, why=f"{liked:.0%} of the ratings reach it: liked"),
        Setting(
            table=_TABLE,
            name="min_positive_rating",
            value=threshold,
            why="retrieval learns from every rated event; with this, only from those that were liked",
            active=False,
        ),
    )
    return Labels(settings=settings, columns=frozenset({column.name}), has_negatives=True)
