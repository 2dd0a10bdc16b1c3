"""Hard negatives: what the model itself would retrieve for the batch's queries, by an index of its current items."""

from collections.abc import Callable

import tensorflow as tf

from trainer.retrieval.negatives.base import SampledNegatives, of_all_replicas
from trainer.retrieval.pairs import rows_among


class HardNegatives(tf.Module):
    """Adds to the negatives of a step the items that an index of the model ranks first for the step's queries.

    The negatives of ANCE, the top of an index for q without D+ (https://arxiv.org/abs/2007.00808): the index is that of
    a recent state of the model and is made anew every some steps. The added items are certain, so they weigh 1 in the
    softmax; those of the source that are not among them keep the weights that make the sum over the rest unbiased.
    """

    def __init__(self, num_items: int, dim: int, *, a_query: int, refresh_steps: int) -> None:
        """Makes room for the index.

        Args:
            num_items: size of the catalogue.
            dim: components of its vectors.
            a_query: items added for each query, at most the catalogue.
            refresh_steps: steps after which the index is made anew.
        """
        super().__init__(name="hard_negatives")
        self._a_query, self._refresh_steps = min(a_query, num_items), refresh_steps
        # Saved with the model: a resumed training goes on with the index it had.
        self._index = tf.Variable(
            tf.zeros([num_items, dim]),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="index",
        )

    def add(
        self, drawn: SampledNegatives, queries: tf.Tensor, step: tf.Tensor, embed_items: Callable[[], tf.Tensor]
    ) -> SampledNegatives:
        """The drawn negatives and the hard ones.

        Args:
            drawn: from a `NegativeSource`.
            queries: `[q, dim] float32`, of this replica; the items added are those of all replicas' queries.
            step: `[] int64`.
            embed_items: gives the catalogue's vectors, `[items, dim] float32`; called when the index is due.
        """

        def make_anew() -> tf.Tensor:
            index = tf.stop_gradient(embed_items())
            self._index.assign(index)
            return index

        index = tf.cond(step % self._refresh_steps == 0, make_anew, self._index.read_value)
        scores = tf.matmul(tf.stop_gradient(queries), index, transpose_b=True)
        nearest = tf.reshape(tf.math.top_k(scores, self._a_query, sorted=False).indices, [-1])
        hard = tf.sort(tf.unique(of_all_replicas(nearest)).y)
        others = ~rows_among(hard, drawn.rows)
        rows = tf.concat([hard, tf.boolean_mask(drawn.rows, others)], axis=0)
        weights = tf.concat([tf.zeros_like(hard, tf.float32), tf.boolean_mask(drawn.log_weights, others)], axis=0)
        order = tf.argsort(rows)
        return SampledNegatives(tf.gather(rows, order), tf.gather(weights, order))
