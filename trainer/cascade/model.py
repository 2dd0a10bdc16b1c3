"""The list ranker: a small network over the candidates' features, and a linear part beside it.

The Deep & Wide form (Cheng et al., https://arxiv.org/abs/1606.07792) with the features of `CandidateFeatures` as the
only inputs: it has no embeddings of ids, so that it holds for items and users that it has never seen.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from trainer.cascade.features import Standardisation
from trainer.cascade.losses import LOSSES
from trainer.config.cascade import ListRankerConfig
from trainer.layers.dropout import StepDropout

PADDING_LOGIT = -1e9
_SEEDS_A_MEMBER = 100


class ListRanker(tfrs.Model):
    """Logits of the candidates of a query.

    Shapes: B lists of C candidates with F features.
    """

    def __init__(self, config: ListRankerConfig, num_features: int, *, seed: int) -> None:
        """Creates every weight, under the strategy's scope if there is one."""
        super().__init__()
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.standardisation = Standardisation(num_features)
        self._loss = LOSSES[config.loss]
        self.members = [
            _Network(config, self.step, number, seed=seed + _SEEDS_A_MEMBER * number)
            for number in range(config.members)
        ]
        self(tf.zeros([1, 1, num_features]), tf.ones([1, 1], tf.bool))

    def call(self, features: tf.Tensor, is_item: tf.Tensor) -> tf.Tensor:
        """`[B, C, F] float32` and `[B, C] bool` to logits `[B, C] float32`, the members' mean; -1e9 for padding."""
        return tf.where(is_item, self.mean_logits(self.standardisation(features, is_item)), PADDING_LOGIT)

    def mean_logits(self, standardised: tf.Tensor) -> tf.Tensor:
        """Standardised features `[..., 2 F] float32` to the members' mean logit, `[...] float32`."""
        return tf.add_n([network(standardised) for network in self.members]) / len(self.members)

    def compute_loss(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """Weighted sum of the lists' losses.

        Args:
            inputs: `features [B, C, F] float32`, `is_item [B, C] bool`, `labels [B, C] float32`, `weight [B] float32`.
            training: Whether dropout is on.

        Returns:
            `[] float32`.
        """
        is_item, labels = inputs["is_item"], inputs["labels"]
        standardised = self.standardisation(inputs["features"], is_item)
        losses = [self._loss(network(standardised, training=training), labels, is_item) for network in self.members]
        return tf.reduce_sum(inputs["weight"] * tf.add_n(losses)) / len(losses)


class _Network(tf.keras.layers.Layer):
    """One member: dense layers and a linear part, `[B, C, 2 F] float32` to `[B, C] float32`."""

    def __init__(self, config: ListRankerConfig, step: tf.Variable, number: int, *, seed: int) -> None:
        super().__init__()
        initializer = tf.keras.initializers.GlorotUniform
        self.hidden = [
            tf.keras.layers.Dense(width, activation="relu", kernel_initializer=initializer(seed=seed + place))
            for place, width in enumerate(config.hidden)
        ]
        first = 1 + number * (1 + len(config.hidden))
        self.dropouts = [
            StepDropout(config.dropout, step=step, number=first + place) for place in range(len(config.hidden))
        ]
        self.deep = tf.keras.layers.Dense(1, kernel_initializer=initializer(seed=seed + len(config.hidden)))
        self.wide = tf.keras.layers.Dense(1, kernel_initializer="zeros", use_bias=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        deep = inputs
        for layer, dropout in zip(self.hidden, self.dropouts, strict=True):
            deep = dropout(layer(deep), training=training)
        return tf.squeeze(self.deep(deep) + self.wide(inputs), axis=-1)
