"""The sum of a tower's features, each times a learnt gate."""

from collections.abc import Mapping
from types import MappingProxyType

import tensorflow as tf

from features.encoding.encoder import Encoded, Tensors
from trainer.layers.embedding import FeatureVector
from trainer.layers.tables.contract import EmbeddingTable


class GatedFeatures(tf.keras.layers.Layer):
    """One vector and one gate for each feature; the gates start at 1."""

    def __init__(
        self,
        features: Mapping[str, Encoded],
        tables: Mapping[str, EmbeddingTable],
        dimension: int,
        *,
        history: str | None = None,
        derived: Mapping[str, tf.keras.layers.Layer] = MappingProxyType({}),
    ) -> None:
        """Creates the weights.

        Args:
            features: What comes in, by name.
            tables: Embedding tables by name, shared between the towers.
            dimension: Components of each vector.
            history: The feature, if any, whose vector an encoder makes: it has a gate here and nothing else.
            derived: Layers that make a further vector each from several encoded features together, by name.
        """
        super().__init__()
        self.by_name: dict[str, tf.keras.layers.Layer] = {
            name: FeatureVector(encoded, tables.get(encoded.table), dimension)
            for name, encoded in features.items()
            if name != history
        }
        self.derived = dict(derived)
        self.gates = {
            # TensorFlow wants ASCII names of weights; features may be named in any script.
            name: self.add_weight(name=f"gate_{name}" if name.isascii() else "gate", shape=(), initializer="ones")
            for name in (*features, *derived)
        }

    def vectors(self, encoded: Tensors) -> dict[str, tf.Tensor]:
        """Encoded features by name, `[batch, ...]`, to vectors by name, `[batch, dimension] float32`."""
        own = {name: layer(encoded[name]) for name, layer in self.by_name.items()}
        return own | {name: layer(encoded) for name, layer in self.derived.items()}

    @property
    def num_vectors(self) -> int:
        """How many vectors are added up, that of the history included."""
        return len(self.gates)

    def add_up(self, vectors: Tensors) -> tf.Tensor:
        """`[batch, dimension] float32`: the sum of the vectors times their gates."""
        return tf.add_n([self.gates[name] * vector for name, vector in vectors.items()])

    def call(self, encoded: Tensors) -> tf.Tensor:
        """`[batch, dimension] float32`: the sum over the encoded features."""
        return self.add_up(self.vectors(encoded))
