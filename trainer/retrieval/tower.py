"""The towers: encoded features in, one vector out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.layers.dropout import replica_number
from trainer.layers.encoders.base import HistoryEncoder
from trainer.layers.gated_features import GatedFeatures
from trainer.layers.history_embedding import HistoryEmbedding
from trainer.layers.products import Dense
from trainer.retrieval.item_vectors import FrozenItemVectors, ItemVectors
from trainer.retrieval.neighbours import neighbours_of_new

# Keeps the gradient of a vector near zero bounded; far below any trained vector's squared norm.
_NORM_EPSILON = 1e-6
UNKNOWN_ITEM = 1
"""Row of the item embeddings that stands for an item which training does not know."""


def normalise(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors of length one, `[..., d]`; zero stays zero."""
    return vectors * tf.math.rsqrt(tf.reduce_sum(vectors * vectors, axis=-1, keepdims=True) + _NORM_EPSILON)


class Tower(tf.keras.layers.Layer):
    """Adds up its features' vectors, each times a learnt gate, plus what dense layers make of all of them together.

    With `item_bias` the vector gets one more component: 1 in the query tower, the item's bias in the candidate tower,
    so that the inner product of the two is the score with the bias added.
    """

    def __init__(
        self, features: GatedFeatures, mixing: Sequence[tf.keras.layers.Layer], config: RetrievalConfig
    ) -> None:
        """Takes the layers.

        Args:
            features: Encoded features to vectors.
            mixing: Dense layers over all vectors side by side, as `mixing_layers` makes them.
            config: Of the model.
        """
        super().__init__()
        self.features, self.mixing, self.config = features, list(mixing), config

    def combine(self, vectors: Tensors) -> tf.Tensor:
        """The features' vectors by name, `[batch, dimension] float32`, to the tower's, before a bias."""
        total = self.features.add_up(vectors)
        if self.mixing:
            mixed = tf.concat(list(vectors.values()), axis=-1)
            for layer in self.mixing:
                mixed = layer(mixed)
            total += mixed
        return normalise(total) if self.config.score == "cosine" else total


@dataclass(frozen=True, kw_only=True)
class HistoryPart:
    """How a query tower makes a vector of the history."""

    name: str
    """Name of the history's feature."""
    embedding: HistoryEmbedding
    """Embeds the entries."""
    encoder: HistoryEncoder
    """Turns the embedded entries into a vector."""


class QueryTower(Tower):
    """The tower of queries."""

    def __init__(
        self,
        features: GatedFeatures,
        mixing: Sequence[tf.keras.layers.Layer],
        config: RetrievalConfig,
        history: HistoryPart | None,
    ) -> None:
        """Takes the layers; `history` is None where the schema has no history."""
        super().__init__(features, mixing, config)
        self.history_name = None
        if history is not None:
            self.history_name = history.name
            self.history_embedding, self.history_encoder = history.embedding, history.encoder

    def call(self, encoded: Tensors, training: bool = False) -> tf.Tensor:
        """Encoded features by name, `[batch, ...]`, to `[batch, d] float32`."""
        if self.history_name is None:
            return self.with_history(encoded, None)
        beside = {name: encoded[name] for name in self.history_embedding.companions}
        history = self.history_encoder(encoded[self.history_name], self.history_embedding, beside, training=training)
        return self.with_history(encoded, history)

    def at_positions(self, encoded: Tensors, packed: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """The vectors of queries that are asked at positions of packed histories.

        Args:
            encoded: The other features by name, `[batch, ...]`.
            packed: `items`, `positions` and each of `beside`, `[R, W] int32`, and `state [batch, 2] int64`, the place
                after which each query is asked.
            training: Whether dropout is on.

        Returns:
            `[batch, d] float32`.
        """
        vectors = self.history_embedding(packed["items"], packed["beside"])
        gaps = self.history_embedding.gaps(packed["beside"])
        states = self.history_encoder.all_states(vectors, packed["positions"], training, gaps)
        return self.with_history(encoded, tf.gather_nd(states, packed["state"]))

    def with_history(self, encoded: Tensors, history: tf.Tensor | None) -> tf.Tensor:
        """The tower's vector when the history's, `[batch, dimension] float32`, is known already."""
        vectors = self.features.vectors(encoded)
        if self.history_name is not None:
            vectors[self.history_name] = history
        total = self.combine(vectors)
        return tf.concat([total, tf.ones_like(total[..., :1])], axis=-1) if self.config.item_bias else total

    def frozen(self) -> "QueryTower":
        """The same tower for a model that is not trained any more: the vectors of histories' items lie in a table."""
        if self.history_name is None or not isinstance(self.history_embedding.item_vectors, ItemVectors):
            return self
        item_vectors = FrozenItemVectors(self.history_embedding.item_vectors)
        trained = self.history_embedding
        embedding = HistoryEmbedding(item_vectors, trained.companions, trained.times, known=trained.known_rows())
        history = HistoryPart(name=self.history_name, embedding=embedding, encoder=self.history_encoder)
        return QueryTower(self.features, self.mixing, self.config, history)


class ItemIds(NamedTuple):
    """The items' ids among the candidates' features."""

    name: str
    """Name of the feature."""
    first_index: int
    """First index of the ids that training has seen; those before are shared by all others."""
    num_special: Mapping[str, int]
    """How many of the first indices of other features stand for missing and unknown values; by default one."""


class CandidateTower(Tower):
    """The tower of candidates."""

    def __init__(
        self,
        features: GatedFeatures,
        mixing: Sequence[tf.keras.layers.Layer],
        config: RetrievalConfig,
        *,
        ids: ItemIds,
        first_bias: npt.NDArray[np.float32],
        step: tf.Variable,
    ) -> None:
        """Takes the layers and creates the bias, if the configuration has one.

        Args:
            features: Encoded features to vectors.
            mixing: Dense layers over all vectors side by side.
            config: Of the model.
            ids: The ids among the features.
            first_bias: `[indices of the item's id]`, what the bias starts from.
            step: `[] int64`, of the training.
        """
        super().__init__(features, mixing, config)
        self.item_id, self.first_index = ids.name, ids.first_index
        others = sorted({*features.by_name} - {ids.name})
        self._compared = tuple((name, ids.num_special.get(name, 1)) for name in others)
        self.step = step
        self.lift: tf.Variable | None = None
        if config.new_item_cost:
            self.lift = self.add_weight(name="lift", shape=(), trainable=False, initializer="zeros")
        if config.item_bias:
            start = tf.constant_initializer(first_bias)
            self.bias = self.add_weight(name="bias", shape=first_bias.shape, initializer=start)

    @property
    def rows_of_values(self) -> Mapping[str, str]:
        """The bias, as `EmbeddingTable.rows_of_values` has it of tables."""
        return {"bias": self.item_id} if self.config.item_bias else {}

    def call(self, encoded: Tensors, training: bool = False) -> tf.Tensor:
        """Encoded features by name, `[batch, ...]`, to `[batch, d] float32`."""
        if training and self.config.id_dropout > 0:
            encoded = {**encoded, self.item_id: self._forget_ids(encoded[self.item_id])}
        total = self.combine(self.features.vectors(encoded))
        if not self.config.item_bias:
            return total
        bias = tf.gather(self.bias, encoded[self.item_id])
        if self.lift is not None and not training:
            bias += self.lift * tf.cast(encoded[self.item_id] < self.first_index, tf.float32)
        return tf.concat([total, bias[..., None]], axis=-1)

    def content_loss(self, encoded: Tensors) -> tf.Tensor:
        """How far the vectors that items have by their features alone are from those that they have with their ids.

        Ids are hidden as in DropoutNet (https://papers.nips.cc/paper/7081), which then fits scores; what the content
        says is drawn to the item's own vector instead, as in CLCRec (https://arxiv.org/abs/2107.05315), but by the
        cosine alone and without contrasts: other items are the business of the main loss. The vector with the id is
        the target and gets no gradient.

        Args:
            encoded: Encoded features by name, `[batch, ...]`.

        Returns:
            `[batch] float32`: 1 - cosine, without the bias.
        """
        vectors = self.features.vectors(encoded)
        unknown = self.features.by_name[self.item_id](self._unknown(encoded[self.item_id]))
        hidden = {**vectors, self.item_id: unknown}
        whole = tf.stop_gradient(normalise(self.combine(vectors)))
        return 1.0 - tf.reduce_sum(normalise(self.combine(hidden)) * whole, axis=-1)

    def like_neighbours(self, vectors: tf.Tensor, candidates: EncodedCatalogue) -> tf.Tensor:
        """The catalogue's vectors, `[items, d] float32`, with those of new items made of their neighbours'."""
        count = self.config.new_item_neighbours
        near = neighbours_of_new(candidates, self.item_id, self.first_index, self._compared, count)
        if len(near.of) == 0:
            return vectors
        mean = near.mean(vectors)
        directions = mean[:, : self.config.dimension]
        if self.config.score == "cosine":
            directions = normalise(directions)
        bias = mean[:, self.config.dimension :]
        if self.lift is not None:
            bias += self.lift
        return tf.tensor_scatter_nd_update(vectors, near.of[:, None], tf.concat([directions, bias], axis=1))

    def _forget_ids(self, indices: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([self.step, 7 + 1000 * replica_number()])
        forgotten = tf.random.stateless_uniform(tf.shape(indices), seed) < self.config.id_dropout
        return tf.where(forgotten, self._unknown(indices), indices)

    def _unknown(self, indices: tf.Tensor) -> tf.Tensor:
        """Indices of unknown ids in place of each: every bucket of them stands for as many items as another."""
        return UNKNOWN_ITEM + indices % max(1, self.first_index - UNKNOWN_ITEM)


class Ensemble(tf.keras.layers.Layer):
    """The same tower of several models, whose vectors stand side by side: the inner product is that of all models."""

    def __init__(self, towers: Sequence[Tower], weight: float) -> None:
        """Takes the towers, and what their vectors are multiplied by."""
        super().__init__()
        self.towers, self.weight = list(towers), weight

    def call(self, encoded: Tensors, training: bool = False) -> tf.Tensor:
        """Encoded features by name, `[batch, ...]`, to `[batch, models * d] float32`."""
        return self.weight * tf.concat([tower(encoded, training=training) for tower in self.towers], axis=-1)


def mixing_layers(config: RetrievalConfig, num_features: int) -> list[tf.keras.layers.Layer]:
    """Hidden layers and a last one that starts at zero: at first a tower is the sum of its features."""
    if not config.hidden:
        return []
    layers = [Dense(width, activation="gelu") for width in config.hidden]
    layers.append(Dense(config.dimension, kernel_initializer="zeros"))
    width = config.dimension * num_features
    for layer in layers:
        layer.build((None, width))
        width = layer.units
    return layers
