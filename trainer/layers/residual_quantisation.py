"""Residual quantisation: a vector as a few codes, each of which names the centroid nearest to what is left of it.

Lee et al., "Autoregressive Image Generation using Residual Quantization", 2022, https://arxiv.org/abs/2203.01941,
Eq. (2), on vectors as they are: the centroids are those of k-means and no encoder is learnt before them.

Shapes: L levels, K codes a level, d components.
"""

import warnings

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scipy.cluster.vq import kmeans2

Float32 = npt.NDArray[np.float32]

_ITERATIONS = 25
# Vectors beyond these, drawn at random, would hardly move the centroids.
_MOST_FITTED = 100_000
# A centroid that nothing is near to.
_FAR = 1e3
_SAME = 4  # decimals of vectors that are told apart; k-means refuses more centroids than it finds distinct vectors


def fit_centroids(vectors: Float32, *, levels: int, codes: int, seed: int) -> Float32:
    """The centroids of each level, by k-means over what the levels before have left.

    Args:
        vectors: `[n, d]`, of length one or shorter; at least one.
        levels: L.
        codes: K. Where fewer vectors are distinct, the other centroids are too far away to be chosen.
        seed: Of the draws.

    Returns:
        `[L, K, d] float32`.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.permutation(len(vectors))[:_MOST_FITTED]
    residual = vectors[np.sort(chosen)].astype(np.float64)
    centroids = np.full([levels, codes, vectors.shape[1]], _FAR, np.float32)
    for level in centroids:
        number = min(codes, len(np.unique(residual.round(_SAME), axis=0)))
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # a cluster that is left empty
            found, _ = kmeans2(residual, number, iter=_ITERATIONS, minit="++", rng=generator)
        level[:number] = found
        residual -= level[_nearest(tf.constant(residual), tf.constant(level, tf.float64)).numpy()]
    return centroids


def residual_codes(vectors: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """The codes of vectors.

    In float64, so that products rounded otherwise on another device hardly ever change the codes.

    Args:
        vectors: `[n, d] float32`.
        centroids: `[L, K, d] float32`.

    Returns:
        `[n, L] int32`.
    """
    residual = tf.cast(vectors, tf.float64)
    codes = []
    for level in tf.unstack(tf.cast(centroids, tf.float64)):
        codes.append(_nearest(residual, level))
        residual -= tf.gather(level, codes[-1])
    return tf.stack(codes, axis=1)


def _nearest(vectors: tf.Tensor, centroids: tf.Tensor) -> tf.Tensor:
    """`[n] int32`: which of the centroids `[K, d] float64` is nearest to each vector `[n, d] float64`."""
    products = tf.matmul(vectors, centroids, transpose_b=True)
    distances = tf.reduce_sum(tf.square(centroids), axis=1) - 2 * products
    return tf.argmin(distances, axis=1, output_type=tf.int32)
