"""Each similarity against its definition, pair by pair."""

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainer.cascade.similarities import SameItem, Similarity, SparseSimilarity, VectorSimilarity, padded_rows
from trainer.config.export import Precision

NUM_ITEMS = 12
RNG = np.random.default_rng(5)
VECTORS = RNG.normal(size=(NUM_ITEMS, 3)).astype(np.float32)
DENSE = np.where(RNG.random((NUM_ITEMS, NUM_ITEMS)) < 0.3, RNG.normal(size=(NUM_ITEMS, NUM_ITEMS)), 0.0).astype(
    np.float32
)

BY_DEFINITION = {
    "same": (SameItem(), np.eye(NUM_ITEMS, dtype=np.float32)),
    "vectors": (VectorSimilarity(VECTORS, "vectors"), VECTORS @ VECTORS.T),
    "sparse": (SparseSimilarity(sp.csr_array(DENSE), "sparse"), DENSE),
    "nothing": (SparseSimilarity(sp.csr_array((NUM_ITEMS, NUM_ITEMS), dtype=np.float32), "none"), np.zeros_like(DENSE)),
}

rows_of_items = hnp.arrays(np.int32, (2, 4), elements=st.integers(-1, NUM_ITEMS - 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_DEFINITION)
@given(history=rows_of_items, candidates=hnp.arrays(np.int32, (2, 5), elements=st.integers(-1, NUM_ITEMS - 1)))
def test_pairs_are_what_the_definition_says(name: str, history: np.ndarray, candidates: np.ndarray) -> None:
    similarity, matrix = BY_DEFINITION[name]
    expected = matrix[np.maximum(history, 0)[:, :, None], np.maximum(candidates, 0)[:, None, :]]
    expected = np.where((history >= 0)[:, :, None] & (candidates >= 0)[:, None, :], expected, 0.0)
    np.testing.assert_allclose(similarity.pairs(history, candidates).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_an_empty_history_has_no_pairs() -> None:
    for similarity, _ in BY_DEFINITION.values():
        assert similarity.pairs(tf.zeros([2, 0], tf.int32), tf.zeros([2, 3], tf.int32)).shape == (2, 0, 3)


@pytest.mark.slow
def test_similarities_survive_saving(tmp_path) -> None:
    history, candidates = np.array([[3, 0, -1]], np.int32), np.array([[1, 3, -1, 7]], np.int32)
    for name, (similarity, _) in BY_DEFINITION.items():
        module = tf.Module()
        module.similarity = similarity
        spec = tf.TensorSpec([None, None], tf.int32)
        module.pairs = tf.function(_pairs_of(similarity), input_signature=[spec, spec], autograph=False)
        tf.saved_model.save(module, str(tmp_path / name))
        loaded = tf.saved_model.load(str(tmp_path / name))
        np.testing.assert_array_equal(
            loaded.pairs(history, candidates).numpy(), similarity.pairs(history, candidates).numpy()
        )


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_rounded_similarities_find_the_same_neighbours(precision: Precision) -> None:
    everything = np.arange(-1, NUM_ITEMS, dtype=np.int32)[None]
    for similarity, matrix in BY_DEFINITION.values():
        full = similarity.pairs(everything, everything).numpy()
        found = similarity.stored_in(precision).pairs(everything, everything).numpy()
        # Both vectors of a product are rounded; a neighbour's number once.
        tolerance = {"float32": 0.0, "float16": 2**-9, "int8": 2**-5}[precision] * max(1.0, np.abs(matrix).max())
        np.testing.assert_allclose(found, full, atol=tolerance)
        assert not found[0, 0].any()


@pytest.mark.parametrize(("num_items", "dtype"), [(65_535, np.uint16), (65_536, np.int32)])
def test_rows_take_two_bytes_where_they_fit(num_items: int, dtype: type) -> None:
    last = num_items - 1
    table = sp.csr_array(([0.5, 0.25], ([last, last], [0, last])), shape=(num_items, num_items), dtype=np.float32)
    similarity = SparseSimilarity(table, "large")
    assert similarity.rows.numpy().dtype == dtype
    for each in (similarity, similarity.stored_in("int8")):
        found = each.pairs(np.array([[last, 0]], np.int32), np.array([[0, last, 7]], np.int32)).numpy()
        np.testing.assert_allclose(found, [[[0.5, 0.25, 0.0], [0.0, 0.0, 0.0]]], atol=0.5 / 254)


def _pairs_of(similarity: Similarity):
    return lambda history, candidates: similarity.pairs(history, candidates)


def test_padded_rows_are_sorted_and_end_in_padding() -> None:
    matrix = sp.csr_array(np.array([[0, 2.0, 1.0], [0, 0, 0], [3.0, 0, 0]], np.float32))
    columns, values = padded_rows(matrix)
    beyond = np.iinfo(np.int32).max
    np.testing.assert_array_equal(columns, [[1, 2], [beyond, beyond], [0, beyond]])
    np.testing.assert_array_equal(values, [[2, 1], [0, 0], [3, 0]])
