"""Greedy MAP inference of a determinantal point process.

Chen, Zhang and Zhou, "Fast Greedy MAP Inference for Determinantal Point Process to Improve Recommendation Diversity",
NeurIPS 2018, https://arxiv.org/abs/1709.05135.
"""

import tensorflow as tf

from trainer.reranking.contract import Reranker, State

# Up to it, float32 cannot tell an item from a combination of those chosen (ε of Algorithm 1): relevance alone decides.
_LEAST_VOLUME = 1e-5


class DPP(Reranker):
    """Greedily maximises (1 - strength) sum of relevances + strength log det S of the chosen items.

    S_ij = (1 + cos(i, j)) / 2. The gain of i is (1 - strength) relevance_i + strength log d_i², with d_i² the squared
    distance of i from the span of the chosen items, kept up to date by a Cholesky factorisation (Algorithm 1). The
    paper's θ is 1 - strength.
    """

    def start(self, steps: tf.Tensor) -> State:
        """`d² [B, n]`, which is S_ii, and the rows of the Cholesky factor, `[B, S, n]`, zero at first."""
        has_vector = tf.reduce_any(self.vectors != 0.0, axis=-1)
        shape = tf.shape(self.relevance)
        return tf.where(has_vector, 1.0, 0.5), tf.zeros([shape[0], steps, shape[1]])

    def gains(self, state: State, strength: tf.Tensor) -> tf.Tensor:
        """Relevance and the logarithm of the volume that the item adds."""
        volume, _ = state
        return (1.0 - strength) * self.relevance + strength * tf.math.log(tf.maximum(volume, _LEAST_VOLUME))

    def add(self, state: State, step: tf.Tensor, chosen: tf.Tensor) -> State:
        """e_i = (S_ji - <c_j, c_i>) / d_j for the chosen j; e_i joins c_i, and d_i² loses e_i²."""
        volume, factor = state
        kernel = (1.0 + self.similarities(chosen)) / 2.0
        of_chosen = tf.gather(factor, chosen, axis=2, batch_dims=1)
        of_item = tf.gather(volume, chosen, batch_dims=1)[:, None]
        rest = (kernel - tf.einsum("bs,bsn->bn", of_chosen, factor)) / tf.sqrt(tf.maximum(of_item, _LEAST_VOLUME))
        # An item within the span adds nothing; dividing what rounding left of it would grow from step to step.
        row = tf.where(of_item > _LEAST_VOLUME, rest, 0.0)
        place = tf.one_hot(step, tf.shape(factor)[1])
        return volume - tf.square(row), factor + place[None, :, None] * row[:, None, :]
