from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import ConfigError
from features.spec.ids import IdFeature
from tests.trainer.small_dataset import SCHEMA
from trainer.config.encoders import GRUConfig, MeanConfig, TransformerConfig
from trainer.config.losses import BCEConfig
from trainer.config.negatives import InBatchConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.batches import set_examples
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.retrieval.model import TwoTowerModel

ENSEMBLE = RetrievalConfig(
    dimension=8,
    encoder=TransformerConfig(dropout=0.3, side_features=True),
    ensemble=(GRUConfig(dropout=0.3, side_features=True), TransformerConfig(dropout=0.3)),
)
HISTORY = [[5, 3, 4, 0], [9, 0, 0, 0], [1, 7, 0, 0]]
"""Rows of the item embeddings; 0 is padding, 1 an item that training does not know, 3 the catalogue's first one."""


def make_model(dataset: DatasetLayout, config: RetrievalConfig = ENSEMBLE) -> TwoTowerModel:
    encoder = SchemaEncoder(SCHEMA, dataset)
    model = TwoTowerModel(config, encoder, load_catalogue(dataset, encoder), seed=1)
    generator = np.random.default_rng(0)
    for weight in model.trainable_variables:  # what starts at zero shall count too
        weight.assign(generator.normal(size=weight.shape, scale=0.5).astype(np.float32))
    return model


def query() -> dict[str, tf.Tensor]:
    return {
        "user_id": tf.constant([3, 4, 0]),
        "history": tf.constant(HISTORY),
        "timestamp": tf.constant([[1], [2], [3]]),
    }


@pytest.mark.slow
def test_score_of_an_ensemble_is_the_mean_of_its_models(small_dataset):
    model = make_model(small_dataset)
    candidates = load_catalogue(small_dataset, SchemaEncoder(SCHEMA, small_dataset))
    together = model.towers.query_tower(query()) @ tf.transpose(model.towers.embed_candidates(candidates))
    rows = candidates.gather(tf.range(len(candidates)))
    alone = [pair.query(query()) @ tf.transpose(pair.candidate(rows)) for pair in model.towers.pairs]
    assert len(alone) == 3
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-5, atol=1e-6)
    assert np.abs(alone[0] - alone[2]).max() > 0.01  # the same encoder twice is two models


@pytest.mark.slow
def test_models_of_an_ensemble_have_masks_of_their_own(small_dataset):
    model = make_model(small_dataset)
    first, last = (model.towers.pairs[n].query.history_encoder.input_dropout for n in (0, 2))
    ones = tf.ones([4, 8])
    assert (first(ones, training=True).numpy() != last(ones, training=True).numpy()).any()


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"loss": BCEConfig()}, {"negatives": InBatchConfig()}])
def test_loss_of_an_ensemble_is_the_mean_of_its_models(small_dataset, changes):
    config = RetrievalConfig(dimension=8, ensemble=(MeanConfig(),), **changes)
    model = make_model(small_dataset, config)
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    rows = load_catalogue(small_dataset, encoder).rows()
    events = load_events(small_dataset.interactions("train"), encoder, rows, records="retrieval")
    batch = set_examples(events, SCHEMA)(tf.range(4, dtype=tf.int64))
    together = model.compute_loss(batch)
    losses = []
    for pair in model.towers.pairs:
        alone = TwoTowerModel(replace(config, ensemble=()), encoder, load_catalogue(small_dataset, encoder), seed=1)
        for weight, of_pair in zip(alone.trainable_variables, pair.trainable_variables, strict=True):
            weight.assign(of_pair)
        losses.append(alone.compute_loss(batch))
    np.testing.assert_allclose(together, np.mean(losses), rtol=1e-5)
    assert abs(losses[0] - losses[1]) > 0.01


@pytest.mark.slow
def test_items_of_a_history_are_told_by_their_side_features(small_dataset):
    """Before it is normalised and gets its bias, an item is the same in a history as among the candidates."""
    model = make_model(small_dataset, replace(ENSEMBLE, score="dot", item_bias=False))
    candidates = load_catalogue(small_dataset, SchemaEncoder(SCHEMA, small_dataset))
    in_history = model.towers.pairs[0].query.history_embedding.item_vectors
    index = candidates.features["item_id"]
    expected = model.towers.pairs[0].candidate(candidates.gather(tf.range(len(candidates))))
    np.testing.assert_allclose(in_history(index), expected, rtol=1e-5, atol=1e-6)
    # An item that training does not know has the embedding of all of these and no features.
    tower, unknown = model.towers.pairs[0].candidate, tf.constant([[1, 1]])
    expected = tower.features.gates["item_id"] * model.towers.pairs[0].items(unknown)
    np.testing.assert_allclose(in_history(unknown), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_frozen_and_saved_towers_say_the_same(small_dataset, tmp_path):
    model = make_model(small_dataset)
    expected = model.towers.query_tower(query()).numpy()
    frozen = model.towers.frozen()
    np.testing.assert_allclose(frozen.query_tower(query()), expected, rtol=1e-5, atol=1e-6)
    module = tf.Module()
    module.model = frozen
    specs = {name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in query().items()}
    module.embed = tf.function(lambda encoded: frozen.query_tower(encoded), input_signature=[specs], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    np.testing.assert_allclose(loaded.embed(query()), expected, rtol=1e-5, atol=1e-6)


def test_without_side_features_the_history_is_the_table(small_dataset):
    model = make_model(small_dataset, RetrievalConfig(dimension=8))
    assert model.towers.query_tower.history_embedding.item_vectors is model.towers.pairs[0].items


def test_set_of_an_ordered_ensemble_is_refused():
    with pytest.raises(ConfigError, match=r"retrieval\.examples"):
        RetrievalConfig(examples="set", ensemble=(GRUConfig(),))


def test_a_users_id_that_is_only_looked_up_does_not_move_the_query(small_dataset):
    schema = replace(
        SCHEMA,
        query=tuple(replace(f, embedding=False) if isinstance(f, IdFeature) else f for f in SCHEMA.query),
    )
    encoder = SchemaEncoder(schema, small_dataset)
    model = TwoTowerModel(RetrievalConfig(dimension=8), encoder, load_catalogue(small_dataset, encoder), seed=1)
    other_users = query() | {"user_id": tf.constant([1, 0, 5])}
    np.testing.assert_array_equal(model.towers.query_tower(query()), model.towers.query_tower(other_users))
    learnt = make_model(small_dataset, RetrievalConfig(dimension=8)).towers.query_tower
    assert np.abs(learnt(query()) - learnt(other_users)).max() > 0.01
    assert schema.user_id in encoder.schema.vocabularies
