"""What the item embeddings start from."""

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from trainer.candidates import CandidateTable
from trainer.config import RetrievalConfig
from trainer.events import Events, Float32
from trainer.models.two_tower import TwoTowerModel

# Popularity's exponent in the co-occurrences' normalisation, the decay a step, and the steps that count.
_POPULARITY_POWER = 0.4
_DECAY, _WINDOW = 0.7, 7


def initialise_items(
    model: TwoTowerModel, events: Events, candidates: CandidateTable, config: RetrievalConfig, seed: int
) -> None:
    """Sets the item embeddings to the singular vectors of the training interactions, if the configuration says so.

    Args:
        model: its item table is changed, at the rows of items with co-occurrences.
        events: of the training split.
        candidates: the catalogue.
        config: of the model.
        seed: of the randomised decomposition.
    """
    if config.initialisation == "random":
        return
    table = model.item_table.table
    counts = cooccurrences(events, num_indices=int(table.shape[0]), ordered=config.examples != "set")
    vectors = singular_vectors(counts, config.dimension, seed)
    known = np.abs(vectors).sum(axis=1) > 0
    start = np.where(known[:, None], vectors * config.dimension**-0.5, table.numpy())
    table.assign(start.astype(np.float32))


def cooccurrences(events: Events, *, num_indices: int, ordered: bool) -> sp.csr_matrix:
    """How often two items occur near each other in a record, with weight 0.7^(steps apart - 1), or in one at all.

    Args:
        events: of the training split.
        num_indices: rows of the item table.
        ordered: whether distance counts.

    Returns:
        `[num_indices, num_indices] float32`, symmetric, divided by (count_i count_j)^0.4.
    """
    records, items = events.record_of_event(), events.item_index
    shape = (num_indices, num_indices)
    if ordered:
        total = sp.csr_matrix(shape, dtype=np.float32)
        for distance in range(1, _WINDOW + 1):
            near = records[distance:] == records[:-distance]
            pairs = (items[distance:][near], items[:-distance][near])
            total += sp.csr_matrix((np.full(int(near.sum()), _DECAY ** (distance - 1), np.float32), pairs), shape)
    else:
        lengths = np.maximum(np.diff(events.record_splits), 1).astype(np.float32)
        users = sp.csr_matrix((lengths[records] ** -0.5, (records, items)), (events.num_records, num_indices))
        total = (users.T @ users).tocsr()
    scale = sp.diags(np.maximum(np.bincount(items, minlength=num_indices), 1.0) ** -_POPULARITY_POWER)
    return (scale @ (total + total.T) @ scale).tocsr()


def singular_vectors(counts: sp.csr_matrix, dimension: int, seed: int) -> Float32:
    """Left singular vectors times the square roots of the singular values, with tempered lengths.

    Args:
        counts: `[n, n] float32`.
        dimension: columns of the result; those beyond n are zero.
        seed: of the randomised decomposition (Halko et al. 2011, https://arxiv.org/abs/0909.4061).

    Returns:
        `[n, dimension] float32`: root mean square 1 over the rows that are not zero.
    """
    rank = min(dimension, counts.shape[0] - 1)
    left, values, _ = randomized_svd(counts, rank, n_iter=4, random_state=seed)
    vectors = np.zeros((counts.shape[0], dimension))
    vectors[:, :rank] = left * np.sqrt(values)
    norms = np.linalg.norm(vectors, axis=1)
    known = norms > 1e-9
    if not known.any():
        return vectors.astype(np.float32)
    relative = np.clip(norms[known] / np.median(norms[known]), 0.3, 2.0) ** 0.5
    vectors[known] *= (relative / norms[known])[:, None]
    vectors /= np.sqrt(np.mean(vectors[known] ** 2))
    return vectors.astype(np.float32)
