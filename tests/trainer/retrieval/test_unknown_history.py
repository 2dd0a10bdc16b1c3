"""Items in a history that no training event chose, such as those that came after the training."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.retrieval.test_model import ENSEMBLE, query
from tests.trainer.small_dataset import SCHEMA
from trainer.data.catalogue import load_catalogue
from trainer.retrieval.model import TwoTowerModel

UNKNOWN, SHOWN = 1, 7


@pytest.mark.slow
@pytest.mark.parametrize("item", [UNKNOWN, SHOWN])
@pytest.mark.parametrize("is_chosen", [False, True])
def test_their_vector_counts_only_where_training_has_chosen_such_items(small_dataset, item, is_chosen):
    """It is learnt from what nobody chose among the candidates, so it would draw the query to anywhere."""
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    candidates = load_catalogue(small_dataset, encoder)
    rows = candidates.features["item_id"].numpy()
    if item == UNKNOWN and is_chosen:  # two rare items share the row
        rows = np.where(rows >= 12, UNKNOWN, rows)
    frequency = np.where((rows == item) & (not is_chosen), 0, candidates.train_frequency)
    features = {**candidates.features, "item_id": tf.constant(rows)}
    candidates = replace(candidates, features=features, train_frequency=frequency)
    model = TwoTowerModel(ENSEMBLE, encoder, candidates, seed=1)
    asked = query() | {"history": tf.constant([[item, 3, 0, 0], [3, item, 4, 0], [item, 0, 0, 0]])}
    before = model.towers.query_tower(asked).numpy()
    for pair in model.towers.pairs:
        table = pair.items.table
        table.assign(tf.tensor_scatter_nd_update(table, [[item]], tf.fill([1, table.shape[1]], 10.0)))
    after = model.towers.query_tower(asked).numpy()
    assert (np.abs(after - before).max() > 0.01) == is_chosen
    np.testing.assert_allclose(model.towers.frozen().query_tower(asked), after, atol=1e-6)


@pytest.mark.slow
def test_a_restored_model_keeps_what_its_training_chose(small_dataset, tmp_path):
    """A catalogue that was made anew tells no frequencies."""
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    candidates = load_catalogue(small_dataset, encoder)
    model = TwoTowerModel(ENSEMBLE, encoder, candidates, seed=1)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "weights"))
    later = replace(candidates, train_frequency=np.zeros_like(candidates.train_frequency))
    restored = TwoTowerModel(ENSEMBLE, encoder, later, seed=2)
    tf.train.Checkpoint(model=restored).read(path).assert_consumed()
    np.testing.assert_array_equal(restored.towers.query_tower(query()), model.towers.query_tower(query()))
