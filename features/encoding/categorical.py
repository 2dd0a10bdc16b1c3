"""Categories as indices."""

import tensorflow as tf

from features.encoding.encoder import Encoded, FeatureEncoder, Learnt
from features.spec.categorical import CategoricalFeature


class CategoricalEncoder(FeatureEncoder[CategoricalFeature]):
    """Categories to rows of an embedding table, by a vocabulary or by hash."""

    def __init__(self, feature: CategoricalFeature, learnt: Learnt) -> None:
        """Takes the feature's vocabulary, if it has one."""
        super().__init__(feature, learnt)
        self._indices = learnt.string_indices(feature)

    @property
    def encoded(self) -> Encoded:
        """One index."""
        return Encoded(form="single", width=1, num_indices=self._indices.num_indices, table=self.feature.name)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch] string` to `[batch] int32`."""
        return self._indices(values)
