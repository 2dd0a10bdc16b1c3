"""Several strings at once as a bag of indices."""

import tensorflow as tf

from features.encoding.encoder import Encoded, FeatureEncoder, Learnt
from features.encoding.string_lists import first_values
from features.spec.multi_valued import MultiValuedFeature


class MultiValuedEncoder(FeatureEncoder[MultiValuedFeature]):
    """Lists of strings to rows of an embedding table, by a vocabulary or by hash."""

    def __init__(self, feature: MultiValuedFeature, learnt: Learnt) -> None:
        """Takes the feature's vocabulary, if it has one."""
        super().__init__(feature, learnt)
        self._indices = learnt.string_indices(feature)

    @property
    def encoded(self) -> Encoded:
        """A bag of values."""
        return Encoded(
            form="bag",
            width=self.feature.max_values,
            num_indices=self._indices.num_indices,
            table=self.feature.name,
        )

    def __call__(self, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """`[batch, n] string` to `[batch, max_values] int32`."""
        return self._indices(first_values(values, self.feature.max_values))
