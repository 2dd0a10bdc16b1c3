"""Each network and each way of sharing between tasks is served as it was trained: saved, loaded and compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.spec.tasks import Task
from tests.trainer.small_dataset import SCHEMA
from trainer.config.ranking import MULTI_TASKS, NETWORKS, RankingConfig
from trainer.data.catalogue import load_catalogue
from trainer.export.assembly import ranker_of
from trainer.export.items import ItemFeatures
from trainer.export.query import QueryInputs
from trainer.export.servables import RankingServable
from trainer.index.item_ids import ItemIds
from trainer.ranking.model import RankingModel

pytestmark = pytest.mark.slow

TWO_TASKS = replace(SCHEMA, task=(Task(name="liked"), Task(name="rating", type="regression")))
KINDS = [(network, "shared_bottom") for network in NETWORKS.names] + [
    (network, sharing) for network in ("mlp", "sequence") for sharing in MULTI_TASKS.names if sharing != "shared_bottom"
]


@pytest.mark.parametrize(("network", "sharing"), KINDS)
def test_served_is_what_was_trained(small_dataset: DatasetLayout, tmp_path: Path, network: str, sharing: str) -> None:
    encoder = SchemaEncoder(TWO_TASKS, small_dataset)
    candidates = load_catalogue(small_dataset, encoder)
    config = RankingConfig(
        dimension=4, network=NETWORKS.options(network)(), multi_task=MULTI_TASKS.options(sharing)(tower=(3,))
    )
    model = RankingModel(config, encoder, candidates, seed=1)
    for number, weight in enumerate(model.trainable_variables):
        weight.assign(tf.random.stateless_normal(weight.shape, [number, 1], stddev=0.5))
    rows = np.array([[0, 7, 3], [9, 1, 5], [2, 4, 6]])
    ids = tf.gather(candidates.item_ids, rows)
    raw = {
        "user_id": tf.constant(["u1", "nobody", ""]),
        "history": tf.constant([["i1", "i3", "i5"], ["i4", "", ""], ["", "", ""]]),
        "timestamp": tf.constant([9, 99, 0], tf.int64),
    }
    scores = model(encoder.encode_query(raw), candidates.gather(tf.constant(rows.ravel())), tf.repeat(tf.range(3), 3))
    trained = model.predictions(scores)
    items = ItemFeatures(encoder, candidates, ItemIds(list(candidates.item_ids.numpy())))
    servable = RankingServable(encoder, QueryInputs(TWO_TASKS, None), ranker_of(model), items)
    tf.saved_model.save(servable, str(tmp_path), signatures=servable.signatures())
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](**raw, item_ids=ids)
    assert served.keys() == trained.keys() == {"liked", "rating"}
    for task, values in served.items():
        assert len(np.unique(values)) > 1
        np.testing.assert_allclose(values.numpy().ravel(), trained[task], rtol=1e-4, atol=1e-5)
