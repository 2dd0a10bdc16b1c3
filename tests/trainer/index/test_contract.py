"""What every index does, whatever its kind: the expected answers come from NumPy over the stored embeddings."""

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from trainer.config.index import ScannTreeConfig
from trainer.index.base import Index
from trainer.index.exact import ExactIndex
from trainer.index.filtered_retriever import Retriever
from trainer.index.recall import search_signature
from trainer.index.report import ScannParameters
from trainer.index.scann_brute_force import ScannBruteForceIndex
from trainer.index.scann_tree import ScannTreeIndex

NUM_ITEMS = 500
ITEM_IDS = [f"item {row}".encode() for row in range(NUM_ITEMS)]


def stored(index: Index) -> npt.NDArray[np.float32]:
    return index.vectors.gather(tf.range(NUM_ITEMS)).numpy()


def best_rows(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.fixture(scope="module")
def search(index):
    return tf.function(index.search, input_signature=search_signature(index), autograph=False)


@pytest.fixture(scope="module")
def retrieve(index):
    exclusions = tf.TensorSpec([None, None], tf.string)
    return tf.function(
        Retriever(index, ITEM_IDS).retrieve, input_signature=[*search_signature(index), exclusions], autograph=False
    )


class TestIndexContract:
    @pytest.mark.parametrize("k", [0, 1, 10, 100, NUM_ITEMS])
    @pytest.mark.parametrize("batch", [0, 1, 33])
    def test_search_equals_numpy(self, index, search, queries, k, batch):
        scores, rows = (each.numpy() for each in search(queries[:batch], tf.constant(k)))
        expected = queries[:batch] @ stored(index).T
        assert scores.shape == rows.shape == (batch, k)
        # Rows may change places where scores are equal up to rounding, so scores are compared, each with its own row's.
        np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :k], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(scores, np.take_along_axis(expected, rows, axis=1), rtol=1e-3, atol=1e-3)
        assert all(len(set(row)) == k for row in rows)

    def test_scores_come_best_first(self, search, queries):
        scores = search(queries, tf.constant(50)).scores.numpy()
        assert (np.diff(scores, axis=1) <= 0).all()

    def test_more_than_all_items_are_padded(self, search, queries):
        scores, rows = search(queries[:3], tf.constant(NUM_ITEMS + 7))
        assert (np.sort(rows[:, :NUM_ITEMS], axis=1) == np.arange(NUM_ITEMS)).all()
        assert (rows[:, NUM_ITEMS:].numpy() == -1).all()
        assert np.isneginf(scores[:, NUM_ITEMS:]).all()

    def test_a_batch_equals_its_queries_one_by_one(self, search, queries):
        together = search(queries[:8], tf.constant(20)).scores
        alone = tf.concat([search(query[np.newaxis], tf.constant(20)).scores for query in queries[:8]], axis=0)
        np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)

    def test_a_query_of_nan_finds_nothing_and_harms_no_other(self, search, queries):
        with_nan = np.stack([queries[0], np.full_like(queries[0], np.nan)])
        scores, rows = search(with_nan, tf.constant(5))
        np.testing.assert_allclose(scores[0], search(queries[:1], tf.constant(5)).scores[0], rtol=1e-5)
        assert (rows[1].numpy() == -1).all()
        assert np.isneginf(scores[1]).all()

    @pytest.mark.parametrize("k", [1, 10, NUM_ITEMS])
    @pytest.mark.parametrize("batch", [0, 1, 5])
    @pytest.mark.parametrize("num_excluded", [0, 1, 60])
    def test_exclusions_still_leave_k_items(self, index, retrieve, queries, k, batch, num_excluded):
        scores = queries[:batch] @ stored(index).T
        excluded = best_rows(scores, num_excluded)
        exclude = np.array([[ITEM_IDS[row] for row in rows] for rows in excluded], object).reshape(batch, num_excluded)
        found = retrieve(queries[:batch], tf.constant(k), tf.constant(exclude, tf.string, [batch, num_excluded]))
        np.put_along_axis(scores, excluded, -np.inf, axis=1)
        expected = -np.sort(-scores, axis=1)[:, :k]
        np.testing.assert_allclose(found.scores, expected, rtol=1e-3, atol=1e-3)
        assert ((found.item_ids.numpy() == b"") == np.isneginf(expected)).all()
        for ids, forbidden in zip(found.item_ids.numpy(), exclude, strict=True):
            given = [item for item in ids if item]
            assert len(set(given)) == len(given)
            assert not set(given) & set(forbidden)

    def test_scan_returns_only_admitted_rows(self, index, queries):
        numbers = tf.Variable(tf.range(NUM_ITEMS))
        scores, rows = index.scan(queries[:4], tf.constant(30), lambda read: read(numbers) % 25 == 3)
        admitted = np.arange(3, NUM_ITEMS, 25)
        expected = -np.sort(-(queries[:4] @ stored(index)[admitted].T), axis=1)
        np.testing.assert_allclose(scores[:, :20], expected, rtol=1e-3, atol=1e-3)
        assert (rows[:, :20].numpy() % 25 == 3).all()
        assert (rows[:, 20:].numpy() == -1).all()

    def test_large_scores_need_no_masking_constant(self, index, queries, retrieve):
        found = retrieve(1e6 * queries[:2], tf.constant(10), tf.constant([[b"item 1"]]))
        unscaled = retrieve(queries[:2], tf.constant(10), tf.constant([[b"item 1"]]))
        np.testing.assert_allclose(found.scores, 1e6 * unscaled.scores, rtol=1e-3)

    def test_only_float32_scans_claim_to_be_exact(self, index):
        is_float32 = np.array_equal(stored(index), tf.cast(index.vectors.values, tf.float32)) and (
            index.vectors.values.dtype == tf.float32
        )
        assert index.is_exact == (is_float32 and type(index) in (ExactIndex, ScannBruteForceIndex))


@pytest.mark.parametrize("k", [1, 60, NUM_ITEMS])
def test_a_tree_that_searches_one_leaf_still_finds_k_items(embeddings, queries, k):
    parameters = ScannParameters(num_leaves=20, leaves_to_search=1, num_rescored=1)
    index = ScannTreeIndex(embeddings, ScannTreeConfig(), parameters)
    rows = index.search(queries, tf.constant(k)).rows.numpy()
    assert (rows >= 0).all()
    assert all(len(set(row)) == k for row in rows)
