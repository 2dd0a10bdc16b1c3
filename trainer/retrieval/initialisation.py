"""Initial values of the item embeddings."""

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import EncodedEvents, Float32, Float64
from trainer.retrieval.model import TwoTowerModel

# Popularity's exponent in the co-occurrences' normalisation, the decay a step, and the steps that count.
_POPULARITY_POWER = 0.4
_DECAY, _WINDOW = 0.7, 7


def initialise_items(
    model: TwoTowerModel, events: EncodedEvents, candidates: EncodedCatalogue, config: RetrievalConfig, seed: int
) -> None:
    """Sets the item embeddings to the singular vectors of the training interactions, if the configuration says so.

    Args:
        model: its item tables are changed, at the rows of items with co-occurrences; where items share rows, to those
            whose vectors are nearest to the singular ones.
        events: Encoded events of the training split.
        candidates: the catalogue.
        config: Configuration of the model.
        seed: Seed of the randomised decomposition (Halko et al. 2011, https://arxiv.org/abs/0909.4061).
    """
    if config.initialisation == "random":
        return
    tables = [pair.items for pair in model.towers.pairs]
    num_indices = tables[0].num_indices
    if config.examples == "set":
        found = set_vectors(sets_of_items(events, num_indices=num_indices), config.dimension, seed)
    else:
        found = sequence_vectors(cooccurrences(events, num_indices=num_indices), config.dimension, seed)
    vectors = tempered(found)
    known = np.abs(vectors).sum(axis=1) > 0
    start = np.zeros((num_indices, config.dimension), np.float32)
    start[:, : vectors.shape[1]] = vectors * config.dimension**-0.5
    # Where items share rows, those with more events count more.
    weights = np.where(known, np.bincount(events.item_index, minlength=num_indices), 0).astype(np.float32)
    for items in tables:
        items.fit(start, weights)


def cooccurrences(events: EncodedEvents, *, num_indices: int) -> sp.csr_matrix:
    """How often two items occur near each other in a record, with weight 0.7^(steps apart - 1).

    Args:
        events: Encoded events of the training split.
        num_indices: rows of the item table.

    Returns:
        `[num_indices, num_indices] float32`, symmetric, divided by (count_i count_j)^0.4.
    """
    records, items = events.record_of_event(), events.item_index
    shape = (num_indices, num_indices)
    total = sp.csr_matrix(shape, dtype=np.float32)
    for distance in range(1, _WINDOW + 1):
        near = records[distance:] == records[:-distance]
        pairs = (items[distance:][near], items[:-distance][near])
        total += sp.csr_matrix((np.full(int(near.sum()), _DECAY ** (distance - 1), np.float32), pairs), shape)
    scale = _without_popularity(events, num_indices)
    return (scale @ (total + total.T) @ scale).tocsr()


def sets_of_items(events: EncodedEvents, *, num_indices: int) -> sp.csr_matrix:
    """Which items a record holds, `[records, num_indices] float32`, divided by n^1/2 of its n events and count_i^0.4.

    Its product with itself is the items' co-occurrence in sets, which is too dense to be written down where there are
    long ones.
    """
    lengths = np.maximum(np.diff(events.record_splits), 1).astype(np.float32)
    records, items = events.record_of_event(), events.item_index
    sets = sp.csr_matrix((lengths[records] ** -0.5, (records, items)), (events.num_records, num_indices))
    return (sets @ _without_popularity(events, num_indices)).tocsr()


def sequence_vectors(counts: sp.csr_matrix, rank: int, seed: int) -> Float64:
    """`[n, rank or fewer] float64`: left singular vectors of symmetric `counts` times the roots of their values."""
    left, values, _ = randomized_svd(counts, min(rank, min(counts.shape)), n_iter=4, random_state=seed)
    return np.asarray(left * np.sqrt(values))


def set_vectors(sets: sp.csr_matrix, rank: int, seed: int) -> Float64:
    """`[n, rank or fewer] float64`: right singular vectors of `sets` times their values, those of its own product."""
    _, values, right = randomized_svd(sets, min(rank, min(sets.shape)), n_iter=4, random_state=seed)
    return np.asarray(right.T * values)


def tempered(vectors: Float64) -> Float32:
    """The vectors with their lengths drawn together, root mean square 1 over the rows that are not zero."""
    norms = np.linalg.norm(vectors, axis=1)
    known = norms > 1e-9
    if not known.any():
        return vectors.astype(np.float32)
    relative = np.clip(norms[known] / np.median(norms[known]), 0.3, 2.0) ** 0.5
    result = np.zeros_like(vectors)
    result[known] = vectors[known] * (relative / norms[known])[:, None]
    result /= np.sqrt(np.mean(result[known] ** 2))
    return result.astype(np.float32)


def _without_popularity(events: EncodedEvents, num_indices: int) -> sp.dia_matrix:
    return sp.diags(np.maximum(np.bincount(events.item_index, minlength=num_indices), 1.0) ** -_POPULARITY_POWER)
