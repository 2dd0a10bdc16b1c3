"""Texts as bags of hashed words."""

import tensorflow as tf

from features.encoding.encoder import Encoded, FeatureEncoder, Learnt
from features.encoding.lookup import HashBuckets
from features.encoding.string_lists import first_values
from features.spec.text import TextFeature


class TextEncoder(FeatureEncoder[TextFeature]):
    """Words of a text to rows of an embedding table, by hash."""

    def __init__(self, feature: TextFeature, learnt: Learnt) -> None:
        """Needs nothing that is learnt."""
        super().__init__(feature, learnt)
        self._indices = HashBuckets(feature.num_buckets)

    @property
    def encoded(self) -> Encoded:
        """A bag of words."""
        return Encoded(
            form="bag",
            width=self.feature.max_tokens,
            num_indices=self._indices.num_indices,
            table=self.feature.name,
        )

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch] string` to `[batch, max_tokens] int32`."""
        return self._indices(first_values(tokenize(values), self.feature.max_tokens))


def tokenize(text: tf.Tensor) -> tf.RaggedTensor:
    """Words of each text, `[batch] string` to ragged `[batch, words]`: lower case, letters and digits of any script."""
    lower = tf.strings.lower(tf.strings.unicode_transcode(text, "UTF-8", "UTF-8"), encoding="utf-8")
    spaced = tf.strings.regex_replace(lower, r"[^\p{L}\p{N}]+", " ")
    return tf.strings.split(tf.strings.strip(spaced), " ")
