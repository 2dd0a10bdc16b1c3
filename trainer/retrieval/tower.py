"""The tower: encoded features in, one vector out. One class, configured twice."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from features.encoding.encoder import Encoded, Tensors
from trainer.config.retrieval import RetrievalConfig
from trainer.layers.dropout import replica_number
from trainer.layers.embedding import EmbeddingTable, FeatureVector
from trainer.layers.encoders import HistoryEncoder

# Keeps the gradient of a vector near zero bounded; far below any trained vector's squared norm.
_NORM_EPSILON = 1e-6
_UNKNOWN_ITEM = 1


def normalise(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors of length one, `[..., d]`; zero stays zero."""
    return vectors * tf.math.rsqrt(tf.reduce_sum(vectors * vectors, axis=-1, keepdims=True) + _NORM_EPSILON)


class Tower(tf.keras.layers.Layer):
    """Adds up its features' vectors, each times a learnt gate, plus what dense layers make of all of them together.

    With `item_bias` the vector gets one more component: 1 in the query tower, the item's bias in the candidate tower,
    so that the inner product of the two is the score with the bias added.
    """

    def __init__(
        self,
        features: Mapping[str, Encoded],
        tables: Mapping[str, EmbeddingTable],
        config: RetrievalConfig,
        *,
        history: tuple[str, HistoryEncoder] | None = None,
        item_id: str | None = None,
        step: tf.Variable,
    ) -> None:
        """Creates the weights.

        Args:
            features: what comes in, by name.
            tables: embedding tables by name, shared between the towers.
            config: of the model.
            history: name and encoder of the history, in a query tower that has one.
            item_id: name of the id feature, in a candidate tower.
            step: of the training.
        """
        super().__init__()
        self.config, self.item_id, self.step = config, item_id, step
        self.history_name = history[0] if history is not None else None
        self.companions = tuple(history[1].companions) if history is not None else ()
        # What belongs to the history's events enters by the history's encoder.
        names = [name for name in features if name not in self.companions]
        self.vectors: dict[str, tf.keras.layers.Layer] = {
            name: FeatureVector(features[name], tables.get(features[name].table), config.dimension)
            for name in names
            if name != self.history_name
        }
        if history is not None:
            self.history_encoder = history[1]
        self.gates = {name: self.add_weight(name=f"gate_{name}", shape=(), initializer="ones") for name in names}
        self.mixing = _dense_layers(config, len(names))
        if item_id is not None and config.item_bias:
            self.bias = self.add_weight(name="bias", shape=(features[item_id].num_indices,), initializer="zeros")

    def call(self, encoded: Tensors, training: bool = False) -> tf.Tensor:
        """Encoded features by name, `[batch, ...]`, to `[batch, d] float32`."""
        if training and self.item_id is not None and self.config.id_dropout > 0:
            encoded = {**encoded, self.item_id: self._forget_ids(encoded[self.item_id])}
        history = None
        if self.history_name is not None:
            beside = {name: encoded[name] for name in self.companions}
            history = self.history_encoder(encoded[self.history_name], beside, training=training)
        return self.combine(encoded, history)

    def combine(self, encoded: Tensors, history: tf.Tensor | None) -> tf.Tensor:
        """The tower's vector when the history's, `[batch, dimension] float32`, is known already."""
        vectors = {name: layer(encoded[name]) for name, layer in self.vectors.items()}
        if self.history_name is not None:
            vectors[self.history_name] = history
        total = self._gated(vectors)
        if self.mixing:
            total += self._mix(tf.concat(list(vectors.values()), axis=-1))
        total = normalise(total) if self.config.score == "cosine" else total
        return self._with_bias(total, encoded) if self.config.item_bias else total

    def add_up(self, encoded: Tensors) -> tf.Tensor:
        """`[batch, dimension] float32`: the features' vectors times their gates, as they are before anything else."""
        return self._gated({name: layer(encoded[name]) for name, layer in self.vectors.items()})

    def _gated(self, vectors: Tensors) -> tf.Tensor:
        return tf.add_n([self.gates[name] * vector for name, vector in vectors.items()])

    def _mix(self, mixed: tf.Tensor) -> tf.Tensor:
        for layer in self.mixing:
            mixed = layer(mixed)
        return mixed

    def _forget_ids(self, indices: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([self.step, 7 + 1000 * replica_number()])
        forgotten = tf.random.stateless_uniform(tf.shape(indices), seed) < self.config.id_dropout
        return tf.where(forgotten, _UNKNOWN_ITEM, indices)

    def _with_bias(self, vectors: tf.Tensor, encoded: Tensors) -> tf.Tensor:
        if self.item_id is None:
            last = tf.ones_like(vectors[..., :1])
        else:
            last = tf.gather(self.bias, encoded[self.item_id])[..., None]
        return tf.concat([vectors, last], axis=-1)


class Ensemble(tf.keras.layers.Layer):
    """The same tower of several models, whose vectors stand side by side: the inner product is that of all models."""

    def __init__(self, towers: Sequence[Tower], weight: float) -> None:
        """Takes the towers, and what their vectors are multiplied by."""
        super().__init__()
        self.towers, self.weight = list(towers), weight

    def call(self, encoded: Tensors, training: bool = False) -> tf.Tensor:
        """Encoded features by name, `[batch, ...]`, to `[batch, models * d] float32`."""
        return self.weight * tf.concat([tower(encoded, training=training) for tower in self.towers], axis=-1)


def _dense_layers(config: RetrievalConfig, num_features: int) -> list[tf.keras.layers.Layer]:
    """Hidden layers and a last one that starts at zero: at first a tower is the sum of its features."""
    if not config.hidden:
        return []
    layers = [tf.keras.layers.Dense(width, activation="gelu") for width in config.hidden]
    layers.append(tf.keras.layers.Dense(config.dimension, kernel_initializer="zeros"))
    width = config.dimension * num_features
    for layer in layers:
        layer.build((None, width))
        width = layer.units
    return layers
