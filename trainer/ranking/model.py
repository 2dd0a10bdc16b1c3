"""The ranking model: DCN-v2 over the features of query and candidate together."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.encoding.encoder import Tensors
from features.encoding.schema_encoder import ITEM_EVENTS_ENCODED, SchemaEncoder
from features.records.contents import ITEM_EVENTS, LABEL
from trainer.config.ranking import RankingConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.layers.dropout import StepDropout
from trainer.layers.embedding import FeatureVector, make_tables


class RankingModel(tfrs.Model):
    """Logits of a query and a candidate, a task a name (DCN-v2, https://arxiv.org/abs/2008.13535, in parallel form).

    The logit is the sum of what the cross layers and the dense layers say and of one learnt number for each value of
    each feature, which holds what is true of a user or an item whatever it is paired with.
    """

    def __init__(
        self,
        config: RankingConfig,
        encoder: SchemaEncoder,
        candidates: EncodedCatalogue,
        *,
        seed: int,
        label_mean: float,
    ) -> None:
        """Creates every weight, under the strategy's scope if there is one.

        Args:
            config: of the model.
            encoder: of the dataset.
            candidates: the catalogue, which the batches' rows refer to.
            seed: of the initial weights.
            label_mean: share of positive labels in training, which the model starts from.
        """
        super().__init__()
        self.config = config
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._candidates = candidates
        features = {f.name: encoder.encoded(f) for f in (*encoder.schema.query, *encoder.schema.candidate)}
        if encoder.schema.item_events:
            features[ITEM_EVENTS] = ITEM_EVENTS_ENCODED
        tables = frozenset(encoded.table for encoded in features.values())
        dimensioned = make_tables(features, config.dimension, tables, stddev=0.05, seed=seed)
        single = make_tables(features, 1, frozenset(), stddev=0.0, seed=seed)
        self.vectors = {n: FeatureVector(e, dimensioned.get(e.table), config.dimension) for n, e in features.items()}
        self.numbers = {n: FeatureVector(e, single.get(e.table), 1) for n, e in features.items()}
        self.cross = _cross_layers(config, config.dimension * len(features))
        self.dropout = StepDropout(config.dropout, step=self.step, number=1)
        self.hidden = [tf.keras.layers.Dense(width, activation="relu") for width in config.hidden]
        start = tf.keras.initializers.Constant(_logit(label_mean))
        self.last = tf.keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer=start)
        self.ranking_task = tfrs.tasks.Ranking(
            loss=tf.keras.losses.BinaryCrossentropy(from_logits=True, reduction=tf.keras.losses.Reduction.SUM)
        )
        self._build(encoder)

    def call(self, query: Tensors, candidate: Tensors, training: bool = False) -> Tensors:
        """Encoded features of the queries and of one candidate each, `[batch, ...]`, to logits `[batch]` by task."""
        logits, _ = self._forward({**query, **candidate}, training)
        return {LABEL: logits}

    def compute_loss(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """Weighted sum of the examples' cross-entropies and of the penalty on their embeddings.

        Args:
            inputs: `query`: encoded query features; `candidate_row [batch] int32`; `item_at_the_time`: encoded
                features of the candidates as they were then; `label` and `weight [batch] float32`.
            training: whether dropout is on.

        Returns:
            `[] float32`.
        """
        candidate = self._candidates.gather(inputs["candidate_row"])
        encoded = {**inputs["query"], **candidate, **inputs["item_at_the_time"]}
        logits, vectors = self._forward(encoded, training)
        weights = inputs["weight"]
        loss = self.ranking_task(
            labels=inputs["label"][:, None], predictions=logits[:, None], sample_weight=weights[:, None]
        )
        return loss + self.config.embedding_decay * tf.nn.l2_loss(vectors)

    def _forward(self, encoded: Tensors, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        vectors = tf.concat([layer(encoded[name]) for name, layer in self.vectors.items()], axis=-1)
        crossed = inputs = self.dropout(vectors, training=training)
        for layer in self.cross:
            crossed = layer(inputs, crossed)
        deep = inputs
        for layer in self.hidden:
            deep = layer(deep)
        numbers = tf.add_n([layer(encoded[name]) for name, layer in self.numbers.items()])
        return tf.squeeze(self.last(tf.concat([crossed, deep], axis=-1)) + numbers, axis=-1), vectors

    def _build(self, encoder: SchemaEncoder) -> None:
        """Makes the dense layers' weights by one call on an empty batch."""
        shapes = {**encoder.query_signature(), **encoder.candidate_signature()}
        raw = {name: tf.zeros([size or 0 for size in spec.shape], spec.dtype) for name, spec in shapes.items()}
        self(encoder.encode_query(raw), encoder.encode_candidate(raw))


def _cross_layers(config: RankingConfig, width: int) -> list[tf.keras.layers.Layer]:
    rank = config.cross_rank if 0 < config.cross_rank < width else None
    return [tfrs.layers.dcn.Cross(projection_dim=rank) for _ in range(config.cross_layers)]


def _logit(share: float) -> float:
    share = min(max(share, 1e-3), 1 - 1e-3)
    return float(tf.math.log(share / (1 - share)))
