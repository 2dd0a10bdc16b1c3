"""Semantic ids: codes of what items are, whose embeddings items share that nobody has chosen yet.

Rajput et al., "Recommender Systems with Generative Retrieval", 2023, https://arxiv.org/abs/2305.05065, section 3.1:
residual quantisation of content vectors. As in Singh et al., "Better Generalization with Semantic IDs", 2023,
https://arxiv.org/abs/2306.08121, the codes are features of a ranking by vectors, with an embedding for each code of
each level, and nothing generates them. In place of an autoencoder there are singular vectors and k-means, which take
seconds and the same result from the same data.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from features.encoding.encoder import Tensors
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.signature import raw_missing
from features.errors import ConfigError
from trainer.config.retrieval import RetrievalConfig
from trainer.config.semantic_ids import SemanticIdsConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.layers.embedding import special_indices
from trainer.layers.residual_quantisation import fit_centroids, residual_codes
from trainer.layers.stored_matrix import look_up, whole
from trainer.layers.tables.matched_rows import MatchedRows
from trainer.retrieval.content_vectors import ContentFeature, ContentVectors

SEMANTIC_IDS = "semantic-ids"
"""Name of their vector among those of the features; no feature can be named so."""


class SemanticCodes(tf.keras.layers.Layer):
    """Encoded features to codes. It is fitted once, and the members of an ensemble share it."""

    def __init__(self, content: ContentVectors, config: SemanticIdsConfig) -> None:
        """Takes the layer that makes the content vectors, and creates the centroids, which are not trained."""
        super().__init__()
        self.content, self.config = content, config
        shape = (config.levels, config.codes, config.components)
        self.centroids = self.add_weight(name="centroids", shape=shape, initializer="zeros", trainable=False)

    def call(self, encoded: Tensors) -> tf.Tensor:
        """Encoded features by name, `[batch, ...]`, to `[batch, levels] int32`; -1 for an item without content."""
        vectors = self.content(encoded)
        codes = residual_codes(vectors, whole(self.centroids))
        return tf.where(tf.reduce_any(vectors != 0, axis=1, keepdims=True), codes, -1)

    def fit(self, items: Tensors, seed: int) -> None:
        """Finds content vectors and centroids.

        Args:
            items: Encoded features by name, `[items, ...]`, of the items that training has seen.
            seed: Of both.
        """
        self.content.fit(items, seed)
        vectors = self.content(items).numpy()
        vectors = vectors[vectors.any(axis=1)]
        if len(vectors):
            levels, codes = self.config.levels, self.config.codes
            self.centroids.assign(fit_centroids(vectors, levels=levels, codes=codes, seed=seed))

    def take_over(self, former: "SemanticCodes", matched: Mapping[str, MatchedRows]) -> None:
        """Takes the codes of a former run, so that its rows keep their meaning; `matched` as of `ContentVectors`."""
        self.content.take_over(former.content, matched)
        self.centroids.assign(whole(former.centroids))


class SemanticIds(tf.keras.layers.Layer):
    """The sum of an embedding for each of an item's codes; they start at zero, as those of features do."""

    def __init__(self, codes: SemanticCodes, dimension: int) -> None:
        """Takes the layer that makes the codes, and creates the embeddings."""
        super().__init__()
        self.codes = codes
        rows = codes.config.levels * codes.config.codes
        self.first_rows = np.arange(codes.config.levels, dtype=np.int32) * codes.config.codes
        self.rows = self.add_weight(name="semantic_ids", shape=(rows, dimension), initializer="zeros")

    def call(self, encoded: Tensors) -> tf.Tensor:
        """Encoded features by name, `[batch, ...]`, to `[batch, dimension] float32`; zero for an item without codes."""
        codes = self.codes(encoded)
        vectors = tf.reduce_sum(look_up(self.rows, tf.maximum(codes, 0) + self.first_rows), axis=1)
        return tf.cast(codes[:, :1] >= 0, vectors.dtype) * vectors


def make_semantic_codes(config: RetrievalConfig, encoder: SchemaEncoder) -> SemanticCodes | None:
    """Makes the layer for the candidates of the schema; None where semantic ids are off.

    Raises:
        ConfigError: all vectors have one component, and there is nothing else, so that no item is like another.
    """
    if not config.semantic_ids.levels:
        return None
    schema, num_special = encoder.schema, special_indices(encoder)
    features = {}
    for feature in schema.candidate:
        if feature.name != schema.item_id and feature.name not in config.leave_out:
            encoded = encoder.encoded(feature)
            is_dense = encoded.form == "dense"
            missing = encoder.encode(feature, raw_missing(feature)).numpy()[0] if is_dense else np.zeros(0, np.float32)
            features[feature.name] = ContentFeature(
                encoded=encoded, num_special=num_special.get(feature.name, 1), missing=missing
            )
    if not any(feature.says_something for feature in features.values()):
        expected = "0, or a candidate feature with values, words or a vector of at least two components"
        raise ConfigError("retrieval.semantic_ids.levels", config.semantic_ids.levels, expected)
    return SemanticCodes(ContentVectors(features, config.semantic_ids.components), config.semantic_ids)


def codes_of(model: tf.Module) -> list[SemanticCodes]:
    """The layers of a model that make codes: one, or none."""
    return [module for module in model.submodules if isinstance(module, SemanticCodes)]


def fit_codes(model: tf.Module, encoder: SchemaEncoder, candidates: EncodedCatalogue, seed: int) -> None:
    """Fits the codes of a model, if it has any, to the items that training has seen."""
    item_id = encoder.schema.item_id
    for codes in codes_of(model):
        first_index = encoder.lookup(item_id).vocabulary.first_token_index
        rows = np.flatnonzero(~candidates.without_events(item_id, first_index))
        codes.fit(candidates.gather(tf.constant(rows, tf.int32)), seed)
