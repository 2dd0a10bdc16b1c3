"""Residual quantisation on clusters that are known, and against a search by hand."""

from itertools import pairwise

import numpy as np
import pytest

from trainer.layers.residual_quantisation import fit_centroids, residual_codes

GROUPS, A_GROUP, LENGTH = 6, 20, 8


def rows(seed: int, noise: float) -> np.ndarray:
    """Six groups of vectors, one around each axis, of length about one."""
    centres = np.repeat(np.eye(LENGTH)[:GROUPS], A_GROUP, axis=0)
    return (centres + noise * np.random.default_rng(seed).normal(size=centres.shape)).astype(np.float32)


def test_planted_clusters_share_a_code_and_differ_in_it() -> None:
    centroids = fit_centroids(rows(0, 0.02), levels=1, codes=GROUPS, seed=3)
    for seed in (0, 1):  # those that were fitted, and others of the same clusters
        codes = residual_codes(rows(seed, 0.02), centroids).numpy().reshape(GROUPS, A_GROUP)
        assert (codes == codes[:, :1]).all()
        assert len(set(codes[:, 0])) == GROUPS


def test_codes_are_the_nearest_centroids_of_what_is_left() -> None:
    vectors = rows(0, 0.3)
    centroids = fit_centroids(vectors, levels=3, codes=5, seed=0)
    residual = vectors.astype(np.float64)
    for level, codes in zip(centroids, residual_codes(vectors, centroids).numpy().T, strict=True):
        distances = np.linalg.norm(residual[:, None] - level[None], axis=2)
        np.testing.assert_array_equal(codes, distances.argmin(axis=1))
        residual = residual - level[codes]


def test_the_error_falls_with_each_level() -> None:
    vectors = rows(0, 0.3)
    centroids = fit_centroids(vectors, levels=4, codes=8, seed=0)
    codes = residual_codes(vectors, centroids).numpy()
    parts = centroids[np.arange(4), codes]  # [n, levels, d]
    errors = [np.square(vectors - parts[:, :number].sum(axis=1)).sum() for number in range(5)]
    assert all(after < 0.9 * before for before, after in pairwise(errors))


def test_fewer_vectors_than_codes_are_met_exactly() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    centroids = fit_centroids(vectors, levels=2, codes=16, seed=0)
    codes = residual_codes(vectors, centroids).numpy()
    assert len(set(codes[:, 0])) == 3
    np.testing.assert_allclose(centroids[np.arange(2), codes].sum(axis=1), vectors, atol=1e-6)


@pytest.mark.parametrize("levels", [1, 2])
def test_the_same_seed_gives_the_same_centroids(levels: int) -> None:
    first, again = (fit_centroids(rows(0, 0.3), levels=levels, codes=5, seed=7) for _ in range(2))
    np.testing.assert_array_equal(first, again)
