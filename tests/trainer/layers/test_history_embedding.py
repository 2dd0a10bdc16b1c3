import numpy as np
import pytest
import tensorflow as tf

from trainer.config.tables import FullConfig
from trainer.layers.history_embedding import HistoryEmbedding
from trainer.layers.tables.contract import TableFacts
from trainer.layers.tables.full import FullTable
from trainer.layers.tables.matched_rows import MatchedRows

ITEMS = tf.constant([[1, 3, 2], [4, 1, 0]])


def table_of(rows: int, seed: int) -> FullTable:
    return FullTable(FullConfig(), TableFacts(num_indices=rows, dimension=3, stddev=1.0, seed=seed))


class NotATable(tf.keras.layers.Layer):
    """Vectors of items that are no rows of a table, such as those with their side features."""

    def __init__(self, table: FullTable) -> None:
        super().__init__()
        self.inner = table

    def call(self, items: tf.Tensor) -> tf.Tensor:
        return self.inner(items)


@pytest.mark.parametrize("wrap", [lambda table: table, NotATable])
def test_unknown_items_add_nothing_but_what_is_told_of_the_event(wrap) -> None:
    table, kinds = table_of(5, 1), table_of(4, 2)
    embedding = HistoryEmbedding(wrap(table), {"kinds": kinds}, known=np.array([False, False, True, True, False]))
    beside = {"kinds": tf.constant([[1, 2, 3], [3, 1, 0]])}
    expected = np.where(np.isin(ITEMS, [2, 3])[..., None], table(ITEMS), 0.0) + kinds(beside["kinds"])
    np.testing.assert_allclose(embedding(ITEMS, beside), expected, rtol=1e-6)
    weights = tf.constant([[0.5, 0.25, 1.0], [2.0, 3.0, 0.0]])
    summed = embedding.weighted_sum(ITEMS, beside, weights, training=False)
    np.testing.assert_allclose(summed, np.einsum("bw,bwd->bd", weights, expected), rtol=1e-5)


def test_what_a_former_run_knew_is_known_in_its_row_of_today() -> None:
    former = HistoryEmbedding(table_of(4, 1), {}, known=np.array([False, False, True, False]))
    today = HistoryEmbedding(table_of(5, 1), {}, known=np.array([False, False, False, True, False]))
    today.take_over(former, MatchedRows(former=np.array([0, 1, 3, -1, 2]), is_grown=False, num_special=2))
    assert today.known_rows().tolist() == [False, False, False, True, True]


def test_rows_of_rare_items_count_where_training_has_them() -> None:
    table = table_of(5, 1)
    np.testing.assert_array_equal(HistoryEmbedding(table, {})(ITEMS), table(ITEMS))
