"""Vectors of many queries, in blocks."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding import Tensors
from features.schema import Schema
from trainer.batches import gather_query
from trainer.events import Events, Int64

Embed: TypeAlias = Callable[[Tensors], tf.Tensor]
Vectors: TypeAlias = npt.NDArray[np.float32]

_BLOCK = 4096


def embed_queries(embed: Embed, events: Events, schema: Schema, indices: Int64) -> Vectors:
    """The vectors of the queries at some events, `[n, d] float32`; each sees what happened strictly before it."""
    gather = gather_query(events, schema)
    run = tf.function(lambda rows: embed(gather(rows)), input_signature=[tf.TensorSpec([None], tf.int64)])
    # At least one block, so that no queries still give a matrix of the right width.
    starts = range(0, max(len(indices), 1), _BLOCK)
    return np.concatenate([run(tf.constant(indices[start : start + _BLOCK])).numpy() for start in starts])
