"""The tables behind the candidates' features, fitted on the events that the retrieval model was trained on.

Fitted on later events they would know the labels: on MovieLens that lifted the training's NDCG to .69 and ruined what
was served. So each fold has tables of its own, and what is served has those of all training events.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from trainer.baselines.als import ALS
from trainer.baselines.ease import EASE
from trainer.baselines.item_cf import ItemCF
from trainer.baselines.similarity import keep_largest, unit_rows
from trainer.cascade.counts import ITEM_COLUMNS, ItemCounts
from trainer.cascade.features import (
    GROUP_OF_COLUMNS,
    GROUP_OF_REPEATS,
    GROUP_OF_REQUEST,
    GROUP_OF_SCORES,
    CandidateFeatures,
    Layout,
    names_over_history,
)
from trainer.cascade.similarities import SameItem, Similarity, SparseSimilarity, VectorSimilarity
from trainer.metrics.protocol import Float, Interactions

_EASE_ITEMS = 6_000
_FOLLOWERS_POWER = -0.3
# A bag of at most so many values is compared as a vector, a larger one by its nearest neighbours.
_DENSE_VALUES = 256


@dataclass(frozen=True, kw_only=True)
class Source:
    """What tables are fitted on."""

    interactions: Interactions
    """The events, by catalogue rows."""
    counts: ItemCounts
    """Which events the counts of items are of."""
    refresh_days: float
    """Days between two refreshes of the counts; 0: they are as of the newest event."""
    item_vectors: Float
    """`[items, d] float32`: of the retrieval model."""
    item_values: Mapping[str, npt.NDArray[np.int32]]
    """`[items, values] int32` for each feature with a vocabulary, by `names_apart`: indices, 0 for padding."""
    neighbours: int
    """Neighbours kept of each item in a table of pairs."""
    with_times: bool
    """Whether histories have times."""


def fit_candidate_features(source: Source) -> CandidateFeatures:
    """Fits every table."""
    similarities: dict[str, Similarity] = {name: fit(source) for name, fit in SIMILARITIES.items()}
    for name, values in source.item_values.items():
        similarities[name] = same_values(values, name, source.neighbours)
    return CandidateFeatures(similarities, source.counts.columns(source.refresh_days), with_times=source.with_times)


def layout_of(item_values: Iterable[str], *, with_times: bool) -> Layout:
    """The features that `fit_candidate_features` makes where the items have values by these names."""
    return Layout(similarities=(*SIMILARITIES, *item_values), item_columns=ITEM_COLUMNS, with_times=with_times)


def _same(_: Source) -> Similarity:
    return SameItem(name="same_item")


def _tower(source: Source) -> Similarity:
    return VectorSimilarity(_unit(source.item_vectors), "tower")


def _ease(source: Source) -> Similarity:
    fitted = EASE(max_items=_EASE_ITEMS).fit(source.interactions)
    weights = sp.coo_array(_strongest(fitted.weights, source.neighbours))
    num_items = source.interactions.num_items
    rows, columns = fitted.items[weights.row], fitted.items[weights.col]
    return SparseSimilarity(sp.csr_array((weights.data, (rows, columns)), shape=(num_items, num_items)), "ease")


def _cosine(source: Source) -> Similarity:
    fitted = ItemCF(num_neighbours=source.neighbours).fit(source.interactions)
    return SparseSimilarity(fitted.similarities, "cosine")


def _co_visitation(source: Source) -> Similarity:
    model = ItemCF(num_neighbours=source.neighbours, user_exponent=0.25, popularity_exponent=0.3)
    return SparseSimilarity(model.fit(source.interactions).similarities, "co_visitation")


def _followers_of(*, steps: int, decay: float, backward: float) -> Callable[[Source], Similarity]:
    def fit(source: Source) -> Similarity:
        table = followers(source.interactions, steps=steps, decay=decay, backward=backward)
        return SparseSimilarity(keep_largest(table, source.neighbours), "followers")

    return fit


def followers(interactions: Interactions, *, steps: int, decay: float, backward: float) -> sp.csr_array:
    """How often one item follows another in a user's events, near ones counting more.

    Args:
        interactions: Sorted by user and time.
        steps: Between the two items of a pair, at most.
        decay: A pair weighs this to the power of the steps between its items.
        backward: What a pair in the reverse order weighs beside one in this order.

    Returns:
        `[items, items] float32`, sparse: row i holds what comes around item i, over the product of both items' counts
        to the power of .3.
    """
    items, users, size = interactions.item_rows, interactions.user_rows, interactions.num_items
    total = sp.csr_array((size, size), dtype=np.float32)
    for apart in range(1, steps + 1):
        pairs = (users[:-apart] == users[apart:]) & (items[:-apart] != items[apart:])
        earlier, later = items[:-apart][pairs], items[apart:][pairs]
        weights = np.full(len(earlier), decay ** (apart - 1), np.float32)
        forward = sp.csr_array((weights, (earlier, later)), shape=(size, size))
        total = total + forward + np.float32(backward) * forward.T.tocsr()
    scale = sp.diags_array((np.maximum(interactions.popularity, 1) ** _FOLLOWERS_POWER).astype(np.float32))
    return sp.csr_array(scale @ total @ scale)


def _als(source: Source) -> Similarity:
    return VectorSimilarity(_unit(ALS().fit(source.interactions).model.item_factors), "als")


SIMILARITIES: Mapping[str, Callable[[Source], Similarity]] = {
    "same_item": _same,
    "tower": _tower,
    "ease": _ease,
    "cosine": _cosine,
    "co_visitation": _co_visitation,
    "sequence": _followers_of(steps=7, decay=0.7, backward=0.5),
    "next": _followers_of(steps=7, decay=0.7, backward=0.0),
    "around": _followers_of(steps=30, decay=0.93, backward=1.0),
    "als": _als,
}
"""By name; one for each item feature with a vocabulary comes on top."""


def names_apart(features: Iterable[str]) -> dict[str, str]:
    """The name of each item feature's similarity, which is its group too: its own wherever that is free.

    A feature that has the name of a built-in group, such as `als` or `popularity`, gets `item_` before its name.
    """
    own = {name: name for name in features}
    fixed = layout_of((), with_times=True)
    taken = {*fixed.names, *fixed.groups, GROUP_OF_REQUEST}
    for feature in own:
        name = feature
        while taken & {name, *names_over_history(name)} or (name != feature and name in own.values()):
            name = f"item_{name}"
        own[feature] = name
    return own


_MEANINGS: Mapping[str, str] = {
    GROUP_OF_SCORES: "Retrieval's score of the candidate, its distance to the best score, and its rank.",
    "same_item": "Whether the candidate is in the history already.",
    "tower": "Cosine of the vectors that retrieval has of the candidate and of the history's items.",
    "ease": "Weights of EASE: a linear model that predicts each item from the user's other items.",
    "cosine": "Cosine of the users who took the candidate and of those who took the history's items.",
    "co_visitation": "How often the same users took both, where users and items with many events count less.",
    "sequence": "How often the candidate comes within seven events of the history's items, after them above all.",
    "next": "How often the candidate comes within seven events after the history's items.",
    "around": "How often the candidate comes within thirty events of the history's items, before or after.",
    "als": "Cosine of the items' factors in a matrix factorisation (ALS).",
    GROUP_OF_REPEATS: "When and how often the user took the candidate before, and whether it is due again.",
    GROUP_OF_COLUMNS: "How many events the candidate has, ever and lately, since when, and how many are repeated.",
}


def meaning_of(group: str) -> str:
    """One sentence for people about a group of features; every other group is an item feature of the schema."""
    return _MEANINGS.get(group, "How much the values of this item feature resemble those of the history's items.")


def same_values(values: npt.NDArray[np.int32], name: str, neighbours: int) -> Similarity:
    """Cosine of the items' TF-IDF vectors over the values of one feature, `[items, values] int32`, 0 for padding."""
    item, place = np.nonzero(values)
    index = values[item, place]
    counts = sp.csr_array((np.ones(len(index), np.float32), (item, index)), shape=(len(values), int(values.max()) + 1))
    holders = np.maximum((counts > 0).sum(axis=0), 1)
    weighted = unit_rows(sp.csr_array(counts @ sp.diags_array(np.log1p(len(values) / holders).astype(np.float32))))
    if weighted.shape[1] <= _DENSE_VALUES:
        return VectorSimilarity(weighted.toarray(), name)
    return SparseSimilarity(keep_largest(sp.csr_array(weighted @ weighted.T), neighbours), name)


def _unit(vectors: Float) -> Float:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Float = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return unit


def _strongest(weights: Float, kept: int) -> Float:
    """The weights with all but the `kept` largest magnitudes of each row set to zero."""
    if weights.shape[1] <= kept:
        return weights
    magnitude = np.abs(weights)
    least = np.partition(magnitude, -kept, axis=1)[:, -kept][:, None]
    return np.where(magnitude >= least, weights, 0.0)
