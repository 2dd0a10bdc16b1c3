"""Content vectors: what an item's features say of it, as a short vector by a fixed projection.

The projection is fitted once, before the training, and then is a part of the model: items that come later have a
content vector too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import tensorflow as tf
from sklearn.utils.extmath import randomized_svd

from features.encoding.encoder import Encoded, Tensors
from trainer.data.events import Float32, Float64
from trainer.layers.stored_matrix import look_up, whole
from trainer.layers.tables.matched_rows import MatchedRows
from trainer.retrieval.content import MOST_COMPONENTS_OF_A_NUMBER, lengths_of, one_hot, rarity, times, unit

# Below it a vector is none: an item without features, or none of whose values training has seen.
_LEAST_SQUARE = 1e-12


@dataclass(frozen=True, kw_only=True)
class ContentFeature:
    """A feature that says what an item is."""

    encoded: Encoded
    """What its encoder returns."""
    num_special: int
    """The first indices, which stand for missing and unknown values and say nothing."""
    missing: Float32
    """`[width]`: of a dense feature, how a missing value is encoded; where that is not 0, a component is a flag."""

    @property
    def is_dense(self) -> bool:
        """Whether its values are vectors."""
        return self.encoded.form == "dense"

    @property
    def says_something(self) -> bool:
        """Whether items can be alike by it; a number has no direction."""
        return not self.is_dense or self.encoded.width > MOST_COMPONENTS_OF_A_NUMBER


class ContentVectors(tf.keras.layers.Layer):
    """Encoded features to vectors of length one: the singular vectors of the items' TF-IDF weights and vectors.

    Values and words weigh as much as they are rare (latent semantic indexing, Deerwester et al. 1990). Vectors count
    with their components standardised; each feature of kind `vector` counts as much, on average, as all values and
    words together. Until `fit` or a checkpoint gives the projection, every vector is zero.
    """

    def __init__(self, features: Mapping[str, ContentFeature], components: int) -> None:
        """Creates the weights, none of which is trained.

        Args:
            features: What the vectors are made from, by name.
            components: d; where fewer are needed, the others stay zero.
        """
        super().__init__()
        self.features_of = {name: feature for name, feature in features.items() if feature.says_something}
        self.components = components
        self.projections = {
            name: self._fixed(feature.encoded.width if feature.is_dense else feature.encoded.num_indices)
            for name, feature in self.features_of.items()
        }
        self.offsets = {name: self._fixed() for name, feature in self.features_of.items() if feature.is_dense}

    def _fixed(self, *rows: int) -> tf.Variable:
        shape = (*rows, self.components)
        return self.add_weight(name="content", shape=shape, initializer="zeros", trainable=False)

    def call(self, encoded: Tensors) -> tf.Tensor:
        """Encoded features by name, `[batch, ...]`, to `[batch, d] float32`, zero where they say nothing."""
        parts = [self._part(name, encoded[name]) for name in self.features_of]
        total = tf.add_n(parts)
        square = tf.reduce_sum(tf.square(total), axis=1, keepdims=True)
        return tf.where(square > _LEAST_SQUARE, total * tf.math.rsqrt(tf.maximum(square, _LEAST_SQUARE)), 0.0)

    def _part(self, name: str, values: tf.Tensor) -> tf.Tensor:
        feature, projection = self.features_of[name], self.projections[name]
        if not feature.is_dense:
            if values.shape.rank == 1:
                return look_up(projection, values)
            return tf.reduce_sum(look_up(projection, _each_once(values)), axis=1)
        is_known = tf.reduce_any((values != 0) & (feature.missing == 0), axis=1, keepdims=True)
        # In float64, so that products rounded otherwise on another device hardly ever change an item's codes.
        projected = tf.matmul(tf.cast(values, tf.float64), tf.cast(whole(projection), tf.float64))
        return tf.where(is_known, tf.cast(projected, tf.float32) + whole(self.offsets[name]), 0.0)

    def fit(self, items: Tensors, seed: int) -> None:
        """Finds the projection.

        Args:
            items: Encoded features by name, `[items, ...]`, of the items that training has seen.
            seed: Of the randomised decomposition (Halko et al. 2011, https://arxiv.org/abs/0909.4061).
        """
        values = {name: items[name].numpy() for name in self.features_of}
        fitted = [*self._discrete(values), *self._dense(values)]
        rows = unit(sp.hstack([part.rows for part in fitted], "csr")) if fitted else sp.csr_array((0, 0))
        rank = min(self.components, *rows.shape)
        if not rank or not rows.nnz:
            return
        _, _, right = randomized_svd(sp.csr_matrix(rows), rank, n_iter=4, random_state=seed)
        ends = np.cumsum([part.rows.shape[1] for part in fitted])
        for part, directions in zip(fitted, np.split(right.T, ends[:-1]), strict=True):
            matrix = np.zeros([len(directions), self.components], np.float32)
            matrix[:, :rank] = directions * part.scale[:, None]
            self.projections[part.name].assign(matrix)
            if part.name in self.offsets:
                self.offsets[part.name].assign((-part.mean @ matrix).astype(np.float32))

    def _discrete(self, values: Mapping[str, npt.NDArray[Any]]) -> Iterator["_Fitted"]:
        kinds = {name: feature for name, feature in self.features_of.items() if not feature.is_dense}
        if not kinds:
            return
        each = {name: one_hot(values[name], kind.num_special, kind.encoded.num_indices) for name, kind in kinds.items()}
        weights = {name: rarity(rows) for name, rows in each.items()}
        length = _usual_length(sp.hstack([times(rows, weights[name]) for name, rows in each.items()], "csr"))
        for name, rows in each.items():
            is_seen = np.bincount(rows.indices, minlength=rows.shape[1]) > 0
            scale = np.where(is_seen, weights[name] / length, 0.0)
            yield _Fitted(name, times(rows, scale.astype(np.float32)), scale, np.zeros_like(scale))

    def _dense(self, values: Mapping[str, npt.NDArray[Any]]) -> Iterator["_Fitted"]:
        for name, feature in self.features_of.items():
            if not feature.is_dense:
                continue
            tells = feature.missing == 0
            is_known = ((values[name] != 0) & tells).any(axis=1)
            known = values[name][is_known].astype(np.float64)
            mean = known.mean(axis=0) if len(known) else np.zeros(len(tells))
            deviation = known.std(axis=0) if len(known) else np.zeros(len(tells))
            counts = tells & (deviation > 1e-6)
            scale = np.where(counts, 1 / np.maximum(deviation, 1e-6) / max(1, counts.sum()) ** 0.5, 0.0)
            rows = np.where(is_known[:, None], (values[name] - mean) * scale, 0.0)
            yield _Fitted(name, sp.csr_array(rows.astype(np.float32)), scale, mean)

    def take_over(self, former: "ContentVectors", matched: Mapping[str, MatchedRows]) -> None:
        """Takes the projection of a former run, in which a value that came since has no place: it says nothing.

        Args:
            former: The layer of that run.
            matched: Where each row of a table was in that run, by the name of the table.
        """
        for name, feature in self.features_of.items():
            old = whole(former.projections[name]).numpy()
            match = None if feature.is_dense else matched.get(feature.encoded.table)
            if match is not None:
                nothing = np.zeros([len(match.former), self.components], np.float32)
                old = replace(match, is_grown=False).carry_over(old, nothing)
            self.projections[name].assign(old)
        for name, offset in self.offsets.items():
            offset.assign(former.offsets[name])


def _each_once(values: tf.Tensor) -> tf.Tensor:
    """`[batch, width] int32`: the values of each row, those that are there already replaced by 0 for padding."""
    ordered = tf.sort(values, axis=1)
    is_repeated = tf.pad(ordered[:, 1:] == ordered[:, :-1], [[0, 0], [1, 0]])
    return tf.where(is_repeated, 0, ordered)


class _Fitted(NamedTuple):
    """A feature of the items that a projection is fitted to."""

    name: str
    rows: sp.csr_array
    """`[items, n] float32`: their values, scaled."""
    scale: Float64
    """`[n]`: what encoded values are multiplied by, after the mean is taken off."""
    mean: Float64
    """`[n]`."""


def _usual_length(rows: sp.csr_array) -> float:
    """The root mean square of the lengths of the rows that are not empty; 1 if all are."""
    lengths = lengths_of(rows)
    some = lengths[lengths > 0]
    return float(np.sqrt(np.mean(some**2))) if len(some) else 1.0
