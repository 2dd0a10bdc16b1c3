"""What an encoder of one feature is: raw values in, indices or floats out."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

import tensorflow as tf

from features.encoding.lookup import HashBuckets, VocabularyLookup, module_name
from features.encoding.statistics import Statistics
from features.schema import Schema
from features.spec.base import Feature
from features.spec.strings import StringFeature

Tensors: TypeAlias = dict[str, tf.Tensor]
F = TypeVar("F", bound=Feature)


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Describes what an encoder returns, for the layers that embed it."""

    form: Literal["single", "bag", "parts", "dense"]
    """`single`: `[batch] int32`. `bag`: `[batch, width] int32` with 0 for padding, whose embeddings are averaged.
    `parts`: `[batch, width] int32`, whose embeddings are added up. `dense`: `[batch, width] float32`, used as it is."""
    width: int
    """Number of values of one example, 1 for `single`."""
    num_indices: int
    """Number of rows of the embedding table, 0 for `dense`. Row 0 stands for a missing value."""
    table: str
    """Name of the embedding table: features with the same table share it (the history and the item id do)."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """Everything learnt from the training data that the encoders of a schema may need."""

    schema: Schema
    """The features."""
    lookups: Mapping[str, VocabularyLookup]
    """Vocabulary lookups, by feature name."""
    statistics: Statistics
    """Statistics of the numeric features."""

    def string_indices(self, feature: StringFeature) -> VocabularyLookup | HashBuckets:
        """Returns how the strings of a feature become indices: through its vocabulary, or by hash if it has none."""
        return self.lookups.get(feature.name) or HashBuckets(feature.num_buckets)

    @property
    def history_length(self) -> int:
        """Length of the schema's history; 0 if it has none."""
        return self.schema.history.length if self.schema.history is not None else 0


class FeatureEncoder(tf.Module, Generic[F]):
    """Encodes the raw values of one feature.

    Training and the SavedModels call the same object, so that a model sees the same numbers for the same raw value.
    A subclass uses stock TensorFlow operations only: a SavedModel must load without recstack.
    """

    def __init__(self, feature: F, learnt: Learnt) -> None:
        """Keeps the feature; a subclass takes what it needs from `learnt`.

        Args:
            feature: What is encoded.
            learnt: Vocabularies and statistics of the dataset.
        """
        super().__init__(name=module_name(feature.name, "encoder"))
        self.feature = feature

    @property
    @abstractmethod
    def encoded(self) -> Encoded:
        """Form, width and table of what a call returns."""

    @abstractmethod
    def __call__(self, values: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Encodes raw values, `[batch]` or, for a list feature, `[batch, n]` dense or ragged."""
