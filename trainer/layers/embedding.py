"""Embedding tables by name, and the vectors of encoded features by their form."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Encoded
from features.encoding.schema_encoder import SchemaEncoder
from trainer.config.tables import TABLES, FullConfig, TableConfig
from trainer.layers.tables.contract import EmbeddingTable, TableFacts

# Bags over tables up to this size are counted rather than looked up.
_FEW_INDICES = 64


class FeatureVector(tf.keras.layers.Layer):
    """One encoded feature as one vector; the history has an encoder instead."""

    def __init__(self, encoded: Encoded, table: EmbeddingTable | None, dimension: int) -> None:
        """Creates the weights.

        Args:
            encoded: what comes in.
            table: the embedding table; none for a dense feature.
            dimension: Number of components of what comes out.
        """
        super().__init__()
        self.form = encoded.form
        self.table = table
        if encoded.form == "dense":
            self.dense = tf.keras.layers.Dense(dimension, use_bias=False, kernel_initializer="zeros")
            self.dense.build((None, encoded.width))

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch]` or `[batch, width]` to `[batch, dimension] float32`: bags are averaged, parts added up."""
        if self.table is None:
            return self.dense(values)
        if self.form == "bag" and self.table.num_indices <= _FEW_INDICES:
            return _pool_few(self.table, values)
        if self.form == "bag":
            return _pool_present(self.table, values)
        vectors = self.table(values)
        return tf.reduce_sum(vectors, axis=1) if self.form == "parts" else vectors


def _pool_present(table: EmbeddingTable, values: tf.Tensor) -> tf.Tensor:
    """The mean over what is not padding, which alone is looked up: of a bag of words most places are padding."""
    places = tf.where(values > 0)
    batch = tf.shape(values, out_type=tf.int64)[0]
    total = tf.math.unsorted_segment_sum(table(tf.gather_nd(values, places)), places[:, 0], batch)
    counts = tf.reduce_sum(tf.cast(values > 0, total.dtype), axis=1, keepdims=True)
    return total / tf.maximum(counts, 1.0)


def _pool_few(table: EmbeddingTable, values: tf.Tensor) -> tf.Tensor:
    """The same as a product of counts and table, whose gradient is a product too and no sum over places."""
    counts = tf.reduce_sum(tf.one_hot(values, table.num_indices), axis=1)[:, 1:]
    total = tf.matmul(counts, table.all_vectors()[1:])
    return total / tf.maximum(tf.reduce_sum(counts, axis=1, keepdims=True), 1.0)


@dataclass(frozen=True, kw_only=True)
class TablesOfModel:
    """What the tables of a model have in common."""

    dimension: int
    """Number of components of the embeddings."""
    stddev: float
    """Standard deviation of the noise that random tables start from."""
    seed: int
    """Seed of the noise."""
    kinds: Mapping[str, TableConfig] = field(default_factory=dict)
    """Options by the name of a table; a table that is not named is full."""
    counts: Mapping[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    """How often each index occurs in training, by the name of a table, where that is known."""
    num_special: Mapping[str, int] = field(default_factory=dict)
    """How many of the first indices stand for missing and unknown values, by the name of a table; by default one."""


def make_tables(
    features: Mapping[str, Encoded], random_tables: frozenset[str], common: TablesOfModel
) -> dict[str, EmbeddingTable]:
    """One table for each name in `Encoded.table`.

    Args:
        features: encoded features by name, of queries and candidates together.
        random_tables: tables that start from noise; the others start from zero, as corrections to these.
        common: What all of them are made with.
    """
    sizes = {encoded.table: encoded.num_indices for encoded in features.values() if encoded.form != "dense"}
    tables = {}
    for number, (name, size) in enumerate(sorted(sizes.items())):
        kind = common.kinds.get(name, FullConfig())
        facts = TableFacts(
            name=name,
            num_indices=size,
            dimension=common.dimension,
            num_special=common.num_special.get(name, 1),
            stddev=common.stddev if name in random_tables else 0.0,
            seed=common.seed + number,
            counts=common.counts.get(name),
        )
        tables[name] = TABLES.implementation(kind)(kind, facts)
    return tables


def special_indices(encoder: SchemaEncoder) -> dict[str, int]:
    """How many of the first indices stand for missing and unknown values, by the name of a vocabulary's table."""
    return {name: encoder.lookup(name).vocabulary.first_token_index for name in encoder.schema.vocabularies}
