"""What the ScaNN indexes (https://arxiv.org/abs/1908.10396) share; each kind has a file of its own.

A SavedModel that holds one is saved with `SaveOptions(namespace_whitelist=["Scann"])` and loads where the `scann`
package of the same TensorFlow version has been imported. Spilling to two leaves (SOAR) is not offered: ScaNN's graph
operations refuse it.
"""

import copy
import hashlib
from abc import abstractmethod

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scann.scann_ops.py import scann_ops
from scann.scann_ops.py.scann_builder import ScannBuilder

from features.native_log import silence_native_notices
from trainer.config.index import IndexConfig
from trainer.index.base import Index, TopK, pad_to_k
from trainer.index.report import ScannParameters
from trainer.index.vectors import Vectors


class ScannIndex(Index):
    """One ScaNN searcher at one operating point."""

    is_exact = False
    parameters: ScannParameters

    def __init__(
        self, embeddings: npt.NDArray[np.float32], config: IndexConfig, parameters: ScannParameters | None = None
    ) -> None:
        """Trains and builds the searcher.

        Args:
            embeddings: `[num_items, dim] float32`.
            config: Options of the kind.
            parameters: The operating point; that before tuning if None.

        Raises:
            InputError: Too few items for a tree.
        """
        super().__init__()
        num_items = len(embeddings)
        self.config, self.tuned_k = config, config.tuned_k
        self.parameters = parameters or self.first_parameters(num_items)
        silence_native_notices()
        builder = scann_ops.builder(embeddings, min(config.tuned_k, num_items), "dot_product")
        self.state = _searcher_state(self.prepare(builder, num_items).build())
        # One name for one content: all signatures of a SavedModel then share one searcher instead of each holding a
        # copy of the catalogue, and the same index gives the same SavedModel.
        self.searcher_name = f"scann-{_fingerprint(self.state)}"
        float_values, _, _, leaf_of_item, *_, int8_values, int8_multipliers, _ = self.state
        self.vectors = Vectors(int8_values, int8_multipliers) if self.is_int8 else Vectors(float_values)
        # How many items any 1, 2, ... leaves hold at least: so many leaves are searched that they surely hold k.
        num_leaves = self.parameters.num_leaves
        sizes = np.bincount(leaf_of_item.numpy(), minlength=num_leaves) if num_leaves else np.array([num_items])
        self._fewest_items = tf.constant(np.cumsum(np.sort(sizes)), tf.int32)

    @abstractmethod
    def first_parameters(self, num_items: int) -> ScannParameters:
        """Returns the operating point before tuning."""

    @abstractmethod
    def prepare(self, builder: ScannBuilder, num_items: int) -> ScannBuilder:
        """Tells ScaNN's builder what to build, at the operating point in `parameters`."""

    @property
    def is_int8(self) -> bool:
        """Whether the embeddings that give the final scores are stored in one byte a component instead of four."""
        return False

    def at(self, parameters: ScannParameters) -> "ScannIndex":
        """Returns the same searcher at another operating point with as many leaves."""
        other = copy.copy(self)
        other.parameters = parameters
        return other

    def search(self, query_embeddings: tf.Tensor, k: tf.Tensor) -> TopK:
        """See `Index.search`.

        Where k exceeds `tuned_k`, leaves and the candidates rescored beyond k grow with the square root of k: measured
        at a million items, recall@k then rises with k, up to k = 4,000.
        """
        point = self.parameters
        growth = tf.sqrt(tf.maximum(tf.cast(k, tf.float32) / self.tuned_k, 1.0))
        tuned = tf.constant([point.leaves_to_search, max(point.num_rescored - self.tuned_k, 0)], tf.float32)
        leaves, spare = tf.unstack(tf.cast(tf.math.ceil(tuned * growth), tf.int32))
        return self.search_at(query_embeddings, k, leaves, tf.maximum(k, self.tuned_k) + spare)

    def search_at(self, query_embeddings: tf.Tensor, k: tf.Tensor, leaves: tf.Tensor, num_rescored: tf.Tensor) -> TopK:
        """Returns what one ScaNN search finds at a given operating point.

        Args:
            query_embeddings: `[batch, dim] float32`.
            k: `[] int32`.
            leaves: `[] int32`, leaves to search, at least 1 with a tree; raised where so many could hold fewer than k
                items. Without a tree it has no effect.
            num_rescored: `[] int32`, candidates to score exactly; raised to k where it is less.
        """
        # ScaNN accepts neither an empty batch nor k = 0: search one zero query, or one result, and cut it off again.
        num_queries = tf.shape(query_embeddings)[0]
        queries = tf.pad(query_embeddings, [[0, tf.cast(num_queries < 1, tf.int32)], [0, 0]])
        num_found = tf.minimum(k, self.num_items)
        wanted = tf.maximum(num_found, 1)
        leaves_for_k = 1 + tf.reduce_sum(tf.cast(self._fewest_items < wanted, tf.int32))
        handle = scann_ops.tensors_to_scann(*self.state, shared_name=self.searcher_name)
        searcher = scann_ops.ScannSearcher(handle)
        settings = (wanted, tf.clip_by_value(num_rescored, wanted, self.num_items), tf.maximum(leaves, leaves_for_k))
        # Of one query too: its own operation is a few microseconds quicker, but choosing it by `tf.cond` costs fifty.
        rows, scores = searcher.search_batched_parallel(queries, *settings)
        size = tf.stack([num_queries, num_found])
        return pad_to_k(tf.slice(scores, [0, 0], size), tf.slice(rows, [0, 0], size), k)


def _searcher_state(searcher: scann_ops.ScannSearcher) -> list[tf.Variable]:
    """Moves a searcher into variables, in the order in which `tensors_to_scann` takes them, and frees it."""
    *tensors, dataset = scann_ops.scann_to_tensors(searcher.searcher_handle)
    tf.raw_ops.DestroyResourceOp(resource=searcher.searcher_handle)
    return [tf.Variable(tensor, trainable=False, name="scann") for tensor in (dataset, *tensors)]


def _fingerprint(state: list[tf.Variable]) -> str:
    digest = hashlib.sha256()
    for variable in state:
        value = np.asarray(variable.numpy())
        digest.update(b"".join(value.ravel()) if value.dtype == object else np.ascontiguousarray(value).data)
    return digest.hexdigest()[:16]
