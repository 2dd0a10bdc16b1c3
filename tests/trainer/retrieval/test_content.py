"""TF-IDF weights of encoded features."""

import numpy as np
import scipy.sparse as sp

from trainer.retrieval.content import lengths_of, one_hot, rarity, times, unit

WORDS = np.array([[3, 2, 3], [2, 1, 0], [0, 0, 0], [4, 1, 0]], np.int32)


def test_a_value_is_there_once_and_special_ones_never() -> None:
    expected = [[0, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]]
    np.testing.assert_array_equal(one_hot(WORDS, 2, 6).toarray(), expected)
    np.testing.assert_array_equal(one_hot(np.array([0, 1, 2], np.int32), 2, 3).toarray(), [[0] * 3, [0] * 3, [0, 0, 1]])


def test_the_rarer_a_value_the_more_it_weighs() -> None:
    found = rarity(one_hot(WORDS, 2, 6))
    np.testing.assert_allclose(found, np.log(5 / (1 + np.array([0, 0, 2, 1, 1, 0]))), rtol=1e-6)


def test_rows_are_scaled_and_empty_ones_stay_empty() -> None:
    rows = times(sp.csr_array(np.array([[1, 2], [0, 0]], np.float32)), np.array([3, 2], np.float32))
    np.testing.assert_array_equal(rows.toarray(), [[3, 4], [0, 0]])
    np.testing.assert_allclose(lengths_of(rows), [5, 0])
    np.testing.assert_allclose(unit(rows).toarray(), [[0.6, 0.8], [0, 0]], rtol=1e-6)
