"""One model of the ranking ensemble: embeddings of its own, networks over them, and a last layer for each task."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Encoded, Tensors
from trainer.config.ranking import MULTI_TASKS, NETWORKS, RankingConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.embedding import FeatureVector, TablesOfModel, make_tables
from trainer.layers.tables.contract import EmbeddingTable
from trainer.ranking.multi_task.contract import MultiTask
from trainer.ranking.networks.contract import History


@dataclass(frozen=True, kw_only=True)
class PairFeatures:
    """What is known of a pair of a query and a candidate."""

    encoded: Mapping[str, Encoded]
    """By name: features of the query, of the candidate, of both together."""
    query_names: frozenset[str]
    """Names of those of the query."""
    item_id: str
    """Name of the candidate's id."""
    history: str | None
    """Name of the history; None if there is none."""
    item_counts: npt.NDArray[np.int64]
    """`[num_indices]`: training events of each index of the candidate's id."""
    num_special: Mapping[str, int]
    """How many of the first indices stand for missing and unknown values, by the name of a table."""


class Member(tf.keras.layers.Layer):
    """Scores of pairs of a query and a candidate, one a task.

    A task's score is the sum of what its last layer reads from the network and of one learnt number for each value of
    each feature, which holds what is true of a user or an item whatever it is paired with; each task has numbers of its
    own.
    """

    def __init__(
        self,
        config: RankingConfig,
        features: PairFeatures,
        first_scores: Mapping[str, float],
        *,
        seed: int,
        dropouts: DropoutSeries,
    ) -> None:
        """Makes the tables and layers; the last layers and the numbers start from zero.

        Args:
            config: Of the ranking model.
            features: What is known of a pair.
            first_scores: The score of every pair before the training, by task.
            seed: Of the embeddings.
            dropouts: Makes the layers that zero components.
        """
        super().__init__()
        encoded = features.encoded
        dimensioned = _make_tables(config, features, seed)
        self.query_names, self._history = features.query_names, features.history
        self._item_place = [*encoded].index(features.item_id)
        self.vectors = {n: FeatureVector(e, dimensioned.get(e.table), config.dimension) for n, e in encoded.items()}
        self.numbers = {task: _numbers(encoded, seed) for task in first_scores}
        self.reads_history = config.network.reads_history
        shape = {"num_features": len(encoded), "dimension": config.dimension}
        if self.reads_history:
            assert features.history is not None, "trainer.config.ranking.require_tasks has refused it"
            shape["history"] = encoded[features.history].width
        network = partial(NETWORKS.implementation(config.network), config.network, **shape)
        self.sharing: MultiTask = MULTI_TASKS.implementation(config.multi_task)(
            config.multi_task, tuple(first_scores), lambda series: network(dropouts=series), dropouts=dropouts
        )
        self.last = {task: _last_layer(score) for task, score in first_scores.items()}

    def call(
        self, query: Tensors, candidate: Tensors, query_of_pair: tf.Tensor | None = None, training: bool = False
    ) -> tuple[Tensors, tf.Tensor]:
        """Scores the pairs.

        Args:
            query: encoded query features, `[queries, ...]` by name.
            candidate: encoded features of the candidates and of the pairs, `[pairs, ...]` by name.
            query_of_pair: `[pairs] int32`, the query of each candidate; None: the queries are those of the pairs.
            training: whether dropout is on.

        Returns:
            `[pairs] float32` by task, and the embeddings that they were computed from, `[pairs, features * dimension]`.
        """
        embedded = self.embed(self.vectors, query, candidate, query_of_pair)
        vectors = tf.concat([*embedded.values()], axis=-1)
        hidden = self.hidden(vectors, query, query_of_pair, training=training)
        scores = {}
        for task, last in self.last.items():
            first_order = tf.add_n([*self.embed(self.numbers[task], query, candidate, query_of_pair).values()])
            scores[task] = tf.squeeze(last(hidden[task]) + first_order, axis=-1)
        return scores, vectors

    def hidden(
        self, vectors: tf.Tensor, query: Tensors, query_of_pair: tf.Tensor | None = None, training: bool = False
    ) -> Tensors:
        """What the networks say of pairs whose features are embedded, `[pairs, width] float32` by task.

        Args:
            vectors: `[pairs, features * dimension] float32`.
            query: encoded query features, `[queries, ...]` by name.
            query_of_pair: as of `call`.
            training: whether dropout is on.
        """
        more = {"history": self._history_of(query, query_of_pair)} if self.reads_history else {}
        found: Tensors = self.sharing(vectors, training=training, **more)
        return found

    def _history_of(self, query: Tensors, query_of_pair: tf.Tensor | None) -> History:
        assert self._history is not None, "the constructor has looked"
        indices, table = query[self._history], self.vectors[self._history].table
        assert table is not None, "a history is encoded as indices"
        return History(
            entries=table(indices), present=indices > 0, query_of_pair=query_of_pair, item_place=self._item_place
        )

    def embed(
        self,
        layers: Mapping[str, FeatureVector],
        query: Tensors,
        candidate: Tensors,
        query_of_pair: tf.Tensor | None = None,
    ) -> Tensors:
        """What layers, by name of the feature, say of the pairs, `[pairs, width]` by name; arguments as of `call`."""

        def embedded(name: str, layer: FeatureVector) -> tf.Tensor:
            if name not in self.query_names:
                return layer(candidate[name])
            of_query = layer(query[name])
            return of_query if query_of_pair is None else tf.gather(of_query, query_of_pair)

        return {name: embedded(name, layer) for name, layer in layers.items()}


def _make_tables(config: RankingConfig, features: PairFeatures, seed: int) -> dict[str, EmbeddingTable]:
    common = TablesOfModel(
        dimension=config.dimension,
        stddev=0.05,
        seed=seed,
        kinds=config.embedding,
        counts={features.item_id: features.item_counts},
        num_special=features.num_special,
    )
    return make_tables(features.encoded, frozenset(each.table for each in features.encoded.values()), common)


def _numbers(features: Mapping[str, Encoded], seed: int) -> dict[str, FeatureVector]:
    """One number for each value of each feature, zero at first."""
    tables = make_tables(features, frozenset(), TablesOfModel(dimension=1, stddev=0.0, seed=seed))
    return {name: FeatureVector(encoded, tables.get(encoded.table), 1) for name, encoded in features.items()}


def _last_layer(first_score: float) -> tf.keras.layers.Dense:
    start = tf.keras.initializers.Constant(first_score)
    return tf.keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer=start)
