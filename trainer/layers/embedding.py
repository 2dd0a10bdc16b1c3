"""Embedding tables by name, and the vectors of encoded features by their form."""

from collections.abc import Mapping

import tensorflow as tf

from features.encoding.encoder import Encoded

# Bags over tables up to this size are counted rather than looked up.
_FEW_INDICES = 64

# Indices for each place of a history up to which a sum in training is one matrix product: the product grows with the
# table, the lookup and its scattered gradient with the places.
_INDICES_A_PLACE = 32


class EmbeddingTable(tf.keras.layers.Layer):
    """Rows of a matrix by index; row 0 stands for a missing value."""

    def __init__(self, num_indices: int, dimension: int, initializer: tf.keras.initializers.Initializer) -> None:
        """Creates the matrix at once, so that an optimizer can be built before the first call."""
        super().__init__()
        self.num_indices = num_indices
        self.table = self.add_weight(name="table", shape=(num_indices, dimension), initializer=initializer)

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """`[...] int32` to `[..., dimension] float32`."""
        return tf.nn.embedding_lookup(self.table, indices)


def weighted_sum(table: EmbeddingTable, indices: tf.Tensor, weights: tf.Tensor, *, training: bool) -> tf.Tensor:
    """The weighted sum of rows of a table.

    Args:
        table: Table of the embeddings.
        indices: `[batch, width] int32`.
        weights: `[batch, width] float32`, 0 for padding.
        training: whether a gradient is wanted: over a small table, the sum is then a product of the whole table with
            the weights by index, whose gradient is a product too, with no vector for each place.

    Returns:
        `[batch, d] float32`.
    """
    width, size = indices.shape[1], table.num_indices
    if not training or width is None or size > _INDICES_A_PLACE * width:
        return tf.einsum("bw,bwd->bd", weights, table(indices))
    batch = tf.shape(indices)[0]
    places = tf.range(batch)[:, None] * size + indices
    by_index = tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), tf.reshape(places, [-1]), batch * size)
    return tf.matmul(tf.reshape(by_index, [batch, size]), table.table)


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
    total = tf.matmul(counts, table.table[1:])
    return total / tf.maximum(tf.reduce_sum(counts, axis=1, keepdims=True), 1.0)


def make_tables(
    features: Mapping[str, Encoded], dimension: int, random_tables: frozenset[str], *, stddev: float, seed: int
) -> dict[str, EmbeddingTable]:
    """One table for each name in `Encoded.table`.

    Args:
        features: encoded features by name, of queries and candidates together.
        dimension: Number of components of the embeddings.
        random_tables: tables that start from noise; the others start from zero, as corrections to these.
        stddev: Standard deviation of the noise.
        seed: Seed of the noise.
    """
    sizes = {encoded.table: encoded.num_indices for encoded in features.values() if encoded.form != "dense"}
    tables = {}
    for number, (name, size) in enumerate(sorted(sizes.items())):
        noise = tf.keras.initializers.RandomNormal(stddev=stddev, seed=seed + number)
        tables[name] = EmbeddingTable(
            size, dimension, noise if name in random_tables else tf.keras.initializers.Zeros()
        )
    return tables
