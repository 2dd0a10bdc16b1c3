"""The ranking model: features' embeddings, a network over them and a head for each task."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.encoding.encoder import Encoded, Tensors
from features.encoding.schema_encoder import ITEM_EVENTS_ENCODED, SchemaEncoder
from features.records.contents import ITEM_EVENTS
from trainer.config.ranking import NETWORKS, RankingConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.labelled_pairs import LabelMoments
from trainer.layers.embedding import FeatureVector, make_tables
from trainer.ranking.heads import HEADS
from trainer.ranking.heads.contract import Head
from trainer.ranking.networks.contract import Network

# A number that is not encoded: it comes as it is, `[pairs, 1]`.
_NUMBER = Encoded(form="dense", width=1, num_indices=0, table="")


class RankingModel(tfrs.Model):
    """Scores of pairs of a query and a candidate, one a task.

    A task's score is the sum of what its head reads from the network and of one learnt number for each value of each
    feature, which holds what is true of a user or an item whatever it is paired with; each task has numbers of its own.
    """

    def __init__(
        self,
        config: RankingConfig,
        encoder: SchemaEncoder,
        candidates: EncodedCatalogue,
        *,
        seed: int,
        label_moments: Sequence[LabelMoments] = (),
        extra: Sequence[str] = (),
    ) -> None:
        """Creates every weight, under the strategy's scope if there is one.

        Args:
            config: Configuration of the model.
            encoder: Encoder of the dataset.
            candidates: the catalogue, which the batches' rows refer to.
            seed: Seed of the initial weights.
            label_moments: Mean and deviation of each task's labels in training, which the model starts from; empty
                where weights are restored.
            extra: names of the numbers that come with each pair, see `trainer.data.labelled_pairs`.
        """
        super().__init__()
        self.config = config
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._candidates = candidates
        self._query_names = frozenset(feature.name for feature in encoder.schema.query)
        features = _features(encoder, extra)
        tasks = encoder.schema.task
        tables = frozenset(encoded.table for encoded in features.values())
        dimensioned = make_tables(features, config.dimension, tables, stddev=0.05, seed=seed)
        self.vectors = {n: FeatureVector(e, dimensioned.get(e.table), config.dimension) for n, e in features.items()}
        self.numbers = [_numbers(features, seed) for _ in tasks]
        self.network: Network = NETWORKS.implementation(config.network)(
            config.network, num_features=len(features), dimension=config.dimension, step=self.step
        )
        self.heads: list[Head] = [
            HEADS[task.type](task, config.training_of(task.name), moments)
            for task, moments in zip(tasks, label_moments or [LabelMoments()] * len(tasks), strict=True)
        ]
        self._build(encoder, extra)

    def call(
        self, query: Tensors, candidate: Tensors, query_of_pair: tf.Tensor | None = None, training: bool = False
    ) -> Tensors:
        """The scores of pairs by task; a head turns them into predictions.

        Args:
            query: encoded query features, `[queries, ...]` by name.
            candidate: encoded features of the candidates and of the pairs, `[pairs, ...]` by name.
            query_of_pair: `[pairs] int32`, the query of each candidate, so that what several candidates share is
                embedded once; None: the queries are those of the pairs, one by one.
            training: whether dropout is on.

        Returns:
            `[pairs] float32` by task.
        """
        return self._forward(query, candidate, query_of_pair, training)[0]

    def predictions(self, scores: Tensors) -> Tensors:
        """Scores to what is predicted, in the unit of the labels: chances of binary tasks, values of regressions."""
        return {head.task_name: head.prediction(head.calibrated(scores[head.task_name])) for head in self.heads}

    def compute_loss(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """Weighted sum of the tasks' losses and of the penalty on the embeddings.

        Args:
            inputs: a batch of `trainer.data.labelled_pairs.pair_examples`.
            training: whether dropout is on.

        Returns:
            `[] float32`.
        """
        candidate = {**self._candidates.gather(inputs["candidate_row"]), **inputs["pair"]}
        scores, vectors = self._forward(inputs["query"], candidate, None, training)
        labels, weights = inputs["labels"], inputs["weight"]
        losses = [head.loss(labels[:, place], scores[head.task_name], weights) for place, head in enumerate(self.heads)]
        return tf.add_n(losses) + self.config.embedding_decay * tf.nn.l2_loss(vectors)

    def _forward(
        self, query: Tensors, candidate: Tensors, query_of_pair: tf.Tensor | None, training: bool
    ) -> tuple[Tensors, tf.Tensor]:
        def embedded(name: str, layer: FeatureVector) -> tf.Tensor:
            if name not in self._query_names:
                return layer(candidate[name])
            of_query = layer(query[name])
            return of_query if query_of_pair is None else tf.gather(of_query, query_of_pair)

        vectors = tf.concat([embedded(name, layer) for name, layer in self.vectors.items()], axis=-1)
        hidden = self.network(vectors, training=training)
        scores = {}
        for head, numbers in zip(self.heads, self.numbers, strict=True):
            first_order = tf.add_n([embedded(name, layer) for name, layer in numbers.items()])
            scores[head.task_name] = head(hidden, first_order)
        return scores, vectors

    def _build(self, encoder: SchemaEncoder, extra: Sequence[str]) -> None:
        """Makes the dense layers' weights by one call on an empty batch."""
        shapes = {**encoder.query_signature(), **encoder.candidate_signature()}
        raw = {name: tf.zeros([size or 0 for size in spec.shape], spec.dtype) for name, spec in shapes.items()}
        numbers = {name: tf.zeros([0, 1]) for name in extra}
        self(encoder.encode_query(raw), {**encoder.encode_candidate(raw), **numbers})


def _numbers(features: Mapping[str, Encoded], seed: int) -> dict[str, FeatureVector]:
    """One number for each value of each feature, zero at first."""
    tables = make_tables(features, 1, frozenset(), stddev=0.0, seed=seed)
    return {name: FeatureVector(encoded, tables.get(encoded.table), 1) for name, encoded in features.items()}


def _features(encoder: SchemaEncoder, extra: Sequence[str]) -> dict[str, Encoded]:
    """What is known of a pair, by name: of the query, of the candidate, of both together."""
    features = {f.name: encoder.encoded(f) for f in (*encoder.schema.embedded_query, *encoder.schema.candidate)}
    if encoder.schema.item_events:
        features[ITEM_EVENTS] = ITEM_EVENTS_ENCODED
    return features | dict.fromkeys(extra, _NUMBER)
