"""Identifiers as indices."""

import tensorflow as tf

from features.encoding.encoder import Encoded, FeatureEncoder, Learnt
from features.spec.ids import IdFeature


class IdEncoder(FeatureEncoder[IdFeature]):
    """Identifiers to rows of an embedding table, by the vocabulary."""

    def __init__(self, feature: IdFeature, learnt: Learnt) -> None:
        """Takes the feature's vocabulary."""
        super().__init__(feature, learnt)
        self._lookup = learnt.lookups[feature.name]

    @property
    def encoded(self) -> Encoded:
        """One index."""
        return Encoded(form="single", width=1, num_indices=self._lookup.num_indices, table=self.feature.name)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch] string` to `[batch] int32`."""
        return self._lookup(values)
