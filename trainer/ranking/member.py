"""One model of the ranking ensemble: embeddings of its own, a network over them, and a last layer for each task."""

from collections.abc import Mapping

import tensorflow as tf

from features.encoding.encoder import Encoded, Tensors
from trainer.config.ranking import NETWORKS, RankingConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.embedding import FeatureVector, make_tables
from trainer.ranking.networks.contract import Network


class Member(tf.keras.layers.Layer):
    """Scores of pairs of a query and a candidate, one a task.

    A task's score is the sum of what its last layer reads from the network and of one learnt number for each value of
    each feature, which holds what is true of a user or an item whatever it is paired with; each task has numbers of its
    own.
    """

    def __init__(
        self,
        config: RankingConfig,
        features: Mapping[str, Encoded],
        query_names: frozenset[str],
        first_scores: Mapping[str, float],
        *,
        seed: int,
        dropouts: DropoutSeries,
    ) -> None:
        """Makes the tables and layers; the last layers and the numbers start from zero.

        Args:
            config: Of the ranking model.
            features: What is known of a pair, by name: of the query, of the candidate, of both together.
            query_names: Names of the features of the query.
            first_scores: The score of every pair before the training, by task.
            seed: Of the embeddings.
            dropouts: Makes the layers that zero components.
        """
        super().__init__()
        tables = frozenset(encoded.table for encoded in features.values())
        dimensioned = make_tables(features, config.dimension, tables, stddev=0.05, seed=seed)
        self._query_names = query_names
        self.vectors = {n: FeatureVector(e, dimensioned.get(e.table), config.dimension) for n, e in features.items()}
        self.numbers = {task: _numbers(features, seed) for task in first_scores}
        self.network: Network = NETWORKS.implementation(config.network)(
            config.network, num_features=len(features), dimension=config.dimension, dropouts=dropouts
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

        def embedded(name: str, layer: FeatureVector) -> tf.Tensor:
            if name not in self._query_names:
                return layer(candidate[name])
            of_query = layer(query[name])
            return of_query if query_of_pair is None else tf.gather(of_query, query_of_pair)

        vectors = tf.concat([embedded(name, layer) for name, layer in self.vectors.items()], axis=-1)
        hidden = self.network(vectors, training=training)
        scores = {}
        for task, last in self.last.items():
            first_order = tf.add_n([embedded(name, layer) for name, layer in self.numbers[task].items()])
            scores[task] = tf.squeeze(last(hidden) + first_order, axis=-1)
        return scores, vectors


def _numbers(features: Mapping[str, Encoded], seed: int) -> dict[str, FeatureVector]:
    """One number for each value of each feature, zero at first."""
    tables = make_tables(features, 1, frozenset(), stddev=0.0, seed=seed)
    return {name: FeatureVector(encoded, tables.get(encoded.table), 1) for name, encoded in features.items()}


def _last_layer(first_score: float) -> tf.keras.layers.Dense:
    start = tf.keras.initializers.Constant(first_score)
    return tf.keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer=start)
