"""The loss that draws what features alone say of an item towards its whole vector."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import ConfigError
from features.spec.ids import IdFeature
from tests.trainer.retrieval.test_model import make_model
from tests.trainer.small_dataset import SCHEMA
from trainer.config.encoders import MeanConfig
from trainer.config.losses import BCEConfig
from trainer.config.negatives import InBatchConfig
from trainer.config.retrieval import RetrievalConfig, require_features
from trainer.data.batches import set_examples
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.events import load_events

UNKNOWN, WEIGHT = 1, 0.7


@pytest.fixture(scope="module")
def candidates(small_dataset: DatasetLayout) -> EncodedCatalogue:
    return load_catalogue(small_dataset, SchemaEncoder(SCHEMA, small_dataset))


@pytest.fixture(scope="module")
def batch(small_dataset: DatasetLayout) -> dict[str, tf.Tensor]:
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    rows = load_catalogue(small_dataset, encoder).rows()
    events = load_events(small_dataset.interactions("train"), encoder, rows, records="retrieval")
    found = dict(set_examples(events, SCHEMA)(tf.range(4, dtype=tf.int64)))
    draw = np.random.default_rng(0)  # positives that weigh differently
    return found | {"weight": tf.constant(draw.uniform(0.2, 2.0, len(found["positive_row"])), tf.float32)}


def distances(known: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """1 - cosine, without the bias in the last component."""
    known, hidden = known[:, :-1], hidden[:, :-1]
    lengths = np.linalg.norm(known, axis=1) * np.linalg.norm(hidden, axis=1)
    return 1 - (known * hidden).sum(axis=1) / lengths


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"score": "dot", "loss": BCEConfig(temperature=1.0), "negatives": InBatchConfig()},
        {"ensemble": (MeanConfig(),), "hidden": (6,), "id_dropout": 0.5},
    ],
    ids=["softmax", "bce", "ensemble"],
)
def test_it_adds_the_weighted_mean_of_the_distances(small_dataset, candidates, batch, changes) -> None:
    without = make_model(small_dataset, RetrievalConfig(dimension=8, **changes))
    model = make_model(small_dataset, RetrievalConfig(dimension=8, content_weight=WEIGHT, **changes))
    items = candidates.gather(batch["positive_row"])
    hidden = items | {"item_id": tf.fill(tf.shape(items["item_id"]), UNKNOWN)}
    of_models = [
        distances(pair.candidate(items).numpy(), pair.candidate(hidden).numpy()) for pair in model.towers.pairs
    ]
    expected = WEIGHT * (batch["weight"].numpy() * np.mean(of_models, axis=0)).sum()
    assert expected > 0.1
    # In training, when some ids are hidden from the main loss, the whole vector is still the target.
    found = model.compute_loss(batch, training=True) - without.compute_loss(batch, training=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_whole_vector_is_a_target_and_gets_no_gradient(small_dataset, candidates) -> None:
    tower = make_model(small_dataset, RetrievalConfig(dimension=8, content_weight=WEIGHT)).towers.pairs[0].candidate
    items = candidates.gather(tf.range(4))
    ids, words = (tower.features.by_name[name].table.table for name in ("item_id", "parity"))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tower.content_loss(items))
    of_ids, of_words = (tf.convert_to_tensor(each).numpy() for each in tape.gradient(total, [ids, words]))
    assert np.flatnonzero(np.abs(of_ids).max(axis=1)).tolist() == [UNKNOWN]
    assert np.abs(of_words).max() > 1e-3


def test_off_is_the_default() -> None:
    assert RetrievalConfig().content_weight == 0


def test_items_without_features_are_refused() -> None:
    config = RetrievalConfig(content_weight=0.1)
    expected = r"retrieval\.content_weight = 0\.1: expected 0, or a feature beside the id"
    with pytest.raises(ConfigError, match=expected):
        require_features(config, replace(SCHEMA, candidate=(IdFeature(name="item_id"),)))
    with pytest.raises(ConfigError, match=expected):
        require_features(replace(config, leave_out=("parity",)), SCHEMA)
    require_features(config, SCHEMA)


@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_bad_weights_are_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=r"retrieval\.content_weight = .*: expected a number of at least 0"):
        RetrievalConfig(content_weight=value)
