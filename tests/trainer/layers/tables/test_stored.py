"""Every kind of table whose matrices are stored in fewer bytes: rounded, and the same once saved and loaded."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.layers.tables.test_contract import KINDS, NUM_INDICES, options_of
from trainer.config.export import Precision
from trainer.config.tables import TABLES
from trainer.layers.tables.contract import EmbeddingTable, TableFacts

COUNTS = np.array([0, 7, *(20 if index % 3 == 0 else 1 for index in range(2, NUM_INDICES))])


def table_of(name: str) -> EmbeddingTable:
    facts = TableFacts(num_indices=NUM_INDICES, dimension=8, num_special=2, stddev=0.5, counts=COUNTS)
    config = options_of(name)
    made: EmbeddingTable = TABLES.implementation(config)(config, facts)
    return made


def num_bytes(table: EmbeddingTable) -> int:
    return sum(variable.numpy().nbytes for variable in table.variables)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_stored_table_answers_as_its_rounded_matrices_do(name: str, precision: Precision) -> None:
    table = table_of(name)
    full, size = table.all_vectors().numpy(), num_bytes(table)
    table.store_in(precision)
    table.store_in(precision)  # again changes nothing
    assert num_bytes(table) < size
    assert not table.trainable_variables
    rounded = table.all_vectors().numpy()
    assert (rounded != full).any()
    # Products double the relative error, and three rows or two matrices add up theirs.
    np.testing.assert_allclose(rounded, full, atol={"float16": 2**-8, "int8": 2**-4}[precision])
    indices = np.array([[0, 1, 59], [5, 5, 7]], np.int32)
    np.testing.assert_allclose(table(indices), rounded[indices], rtol=1e-6)
    weights = np.array([[1.0, 0.5, 0.25], [2.0, 1.0, 0.0]], np.float32)
    expected = np.einsum("bw,bwd->bd", weights, rounded[indices])
    np.testing.assert_allclose(
        table.weighted_sum(tf.constant(indices), tf.constant(weights), training=False), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_saved_table_answers_as_before(name: str, tmp_path: Path) -> None:
    table = table_of(name)
    table.store_in("int8")
    module = tf.Module()
    module.held = list(table.variables)
    module.call = tf.function(lambda rows: table(rows), input_signature=[tf.TensorSpec([None], tf.int32)])
    expected = table(tf.range(NUM_INDICES)).numpy()
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    # A graph may multiply in another order.
    np.testing.assert_allclose(loaded.call(tf.range(NUM_INDICES)), expected, rtol=1e-5)
