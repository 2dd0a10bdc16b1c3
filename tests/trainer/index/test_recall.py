import numpy as np

from trainer.index.exact import ExactIndex
from trainer.index.recall import QUERIES_PER_BATCH, measure_recall, recall_at_k, search_rows


def test_recall_counts_each_expected_row_once():
    found = np.array([[3, 1, 2], [7, 8, 9]], np.int32)
    expected = np.array([[1, 2, 4], [9, 8, 7]], np.int32)
    assert recall_at_k(found, expected) == (2 + 3) / 6


def test_missing_rows_are_not_expected_and_never_hit():
    assert recall_at_k(np.array([[5, -1]]), np.array([[5, -1]])) == 1.0
    assert recall_at_k(np.array([[-1, -1]]), np.array([[5, -1]])) == 0.0


def test_an_index_over_half_of_the_items_finds_the_share_that_lies_in_its_half(embeddings, queries):
    half = len(embeddings) // 2
    top = search_rows(ExactIndex(embeddings), queries, 10)
    assert measure_recall(ExactIndex(embeddings[:half]), ExactIndex(embeddings), queries, 10) == (top < half).mean()


def test_queries_beyond_one_batch_keep_their_order(embeddings, queries):
    index = ExactIndex(embeddings)
    many = np.tile(queries, [QUERIES_PER_BATCH // len(queries) + 2, 1])
    rows = search_rows(index, many, 3)
    np.testing.assert_array_equal(rows[-len(queries) :], search_rows(index, queries, 3))
