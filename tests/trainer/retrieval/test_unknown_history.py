"""Items in a history that the training does not know, such as those that came after it."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from features.spec.ids import IdFeature
from tests.trainer.retrieval.test_model import ENSEMBLE, query
from tests.trainer.small_dataset import SCHEMA
from trainer.data.catalogue import load_catalogue
from trainer.retrieval.model import TwoTowerModel

UNKNOWN = 1


@pytest.mark.slow
@pytest.mark.parametrize(("min_count", "counts"), [(1, False), (2, True)])
def test_their_vector_counts_only_where_training_has_had_such_items(small_dataset, min_count, counts):
    """It is learnt from what nobody chose among the candidates, so it would draw the query to anywhere."""
    rare = IdFeature(name="item_id", min_count=min_count)
    encoder = SchemaEncoder(replace(SCHEMA, candidate=(rare, *SCHEMA.candidate[1:])), small_dataset)
    model = TwoTowerModel(ENSEMBLE, encoder, load_catalogue(small_dataset, encoder), seed=1)
    asked = query() | {"history": tf.constant([[UNKNOWN, 3, 0, 0], [3, UNKNOWN, 4, 0], [UNKNOWN, 0, 0, 0]])}
    before = model.towers.query_tower(asked).numpy()
    frozen = model.towers.frozen().query_tower(asked).numpy()
    np.testing.assert_allclose(frozen, before, atol=1e-6)
    for pair in model.towers.pairs:
        table = pair.items.table
        table.assign(tf.tensor_scatter_nd_update(table, [[UNKNOWN]], tf.fill([1, table.shape[1]], 10.0)))
    after = model.towers.query_tower(asked).numpy()
    assert (np.abs(after - before).max() > 0.01) == counts
