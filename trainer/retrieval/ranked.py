"""The catalogue ranked by a two-tower model, exactly: inner products, and what the histories' own items get on top."""

from collections.abc import Iterable, Iterator

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from features.encoding import Tensors
from features.schema import Schema
from trainer.batches import gather_query
from trainer.candidates import CandidateTable
from trainer.evaluation.protocol import Float, Ragged
from trainer.evaluation.scoring import Rankings, rank_by_inner_product
from trainer.events import Events, Int64
from trainer.models.two_tower import TwoTowerModel

_QUERIES_A_BLOCK = 1024


def query_blocks(events: Events, schema: Schema, indices: Int64) -> Iterator[Tensors]:
    """The encoded queries at some events, `[n] int64`, in blocks; each sees what happened strictly before it."""
    gather = gather_query(events, schema, with_entries=True)
    for start in range(0, len(indices), _QUERIES_A_BLOCK):
        yield gather(tf.constant(indices[start : start + _QUERIES_A_BLOCK]))


def rank_by_model(
    model: TwoTowerModel, candidates: CandidateTable, queries: Iterable[Tensors], k: int, *, seen: Ragged | None = None
) -> Rankings:
    """The best k items of the catalogue for each query.

    Args:
        model: scores them.
        candidates: the catalogue that the queries' history rows refer to.
        queries: encoded, in blocks, as `query_blocks` makes them.
        k: items to return for each query.
        seen: item rows to leave out of each query's ranking; None ranks all.

    Raises:
        ValueError: if a vector, or what is added, holds a NaN or an infinity.
    """
    items = model.embed_candidates(candidates).numpy()
    vectors, added = [np.empty((0, items.shape[1]), np.float32)], []
    for block in queries:
        vectors.append(model.query_tower(block).numpy())
        if (repeats := model.repeats(block)) is not None:
            pairs = (repeats.query.numpy(), repeats.rows.numpy())
            shape = (len(vectors[-1]), len(items))
            added.append(sp.csr_array((repeats.scores.numpy(), pairs), shape=shape, dtype=np.float32))
    asked: Float = np.concatenate(vectors)
    return rank_by_inner_product(asked, items, k, seen=seen, added=sp.vstack(added, "csr") if added else None)
