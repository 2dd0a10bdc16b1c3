"""The counter of an item's interactions in ranking: the one of the example's time in training, today's in serving."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.log_buckets import count_buckets
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import NUM_ITEMS, NUM_USERS, example, write_learnt_parts, write_records
from tests.trainer.small_dataset import SCHEMA as PLAIN
from trainer.config.ranking import DCNConfig, RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.events import EncodedEvents, load_events
from trainer.data.labelled_pairs import logged_pairs, pair_examples
from trainer.export.items import ItemFeatures
from trainer.index.item_ids import ItemIds
from trainer.ranking.model import RankingModel
from trainer.retrieval.model import TwoTowerModel

SCHEMA = replace(PLAIN, item_events=True)
TODAY = 1000  # what each item has behind it at the end of the data


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    layout = DatasetLayout(tmp_path_factory.mktemp("counters") / "dataset")
    layout.root.mkdir()
    write_learnt_parts(layout, dict.fromkeys(range(NUM_ITEMS), 1))
    for shard in layout.candidates.iterdir():
        shard.unlink()
    layout.candidates.rmdir()
    write_records(
        layout.candidates,
        [
            example(item_id=[f"i{n}"], parity=["even"], train_frequency=[1], item_events=[TODAY + n])
            for n in range(NUM_ITEMS)
        ],
    )
    # The label follows from the counter alone: items with at least 8 interactions behind them are taken.
    rng = np.random.default_rng(0)
    records = []
    for user in range(NUM_USERS):
        counts = rng.integers(0, 16, 20).tolist()
        records.append(
            example(
                user_id=[f"u{user}"],
                num_context=[0],
                item_id=[f"i{n}" for n in rng.integers(0, NUM_ITEMS, 20)],
                timestamp=list(range(1, 21)),
                label=[float(count >= 7) for count in counts],
                weight=[1.0] * 20,
                in_history=[0] * 20,
                item_events=counts,
                sampling_probability=[1.0] * 20,
            )
        )
    write_records(layout.ranking("train"), records)
    return layout


@pytest.fixture(scope="module")
def loaded(layout: DatasetLayout) -> tuple[SchemaEncoder, EncodedCatalogue, EncodedEvents]:
    encoder = SchemaEncoder(SCHEMA, layout)
    candidates = load_catalogue(layout, encoder)
    return encoder, candidates, load_events(layout.ranking("train"), encoder, candidates.rows(), records="ranking")


def test_training_takes_the_counter_of_the_time_and_serving_that_of_today(
    loaded: tuple[SchemaEncoder, EncodedCatalogue, EncodedEvents],
) -> None:
    encoder, candidates, events = loaded
    batch = pair_examples(events, logged_pairs(events), SCHEMA)(tf.constant([0, 5], tf.int64))
    expected = count_buckets(tf.constant(events.item_events[[0, 5]]))
    np.testing.assert_array_equal(batch["pair"]["item_events"], expected)
    assert count_buckets(tf.constant([0, 1, 2, 3, 1000], tf.int64)).numpy().tolist() == [1, 2, 2, 3, 10]
    served = ItemFeatures(encoder, candidates, ItemIds([f"i{n}".encode() for n in range(NUM_ITEMS)]))
    found = served(tf.constant(["i3", "unknown"]))["item_events"].numpy()
    assert found.tolist() == count_buckets(tf.constant([TODAY + 3, 0], tf.int64)).numpy().tolist()


@pytest.mark.slow
def test_ranking_learns_from_the_counter(loaded: tuple[SchemaEncoder, EncodedCatalogue, EncodedEvents]) -> None:
    encoder, candidates, events = loaded
    tf.keras.utils.set_random_seed(1)
    config = RankingConfig(dimension=8, network=DCNConfig(dropout=0.0), embedding_decay=0.0)
    model = RankingModel(config, encoder, candidates, seed=1)
    batch = pair_examples(events, logged_pairs(events), SCHEMA)(tf.range(len(events), dtype=tf.int64))
    optimizer = tf.keras.optimizers.Adam(0.05)
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=False)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    rows = batch["candidate_row"]
    query = batch["query"]
    one = tf.ones(len(events), tf.int32)
    few = model(query, candidates.gather(rows) | {"item_events": 2 * one})["label"].numpy()
    many = model(query, candidates.gather(rows) | {"item_events": 4 * one})["label"].numpy()
    assert (many > few).mean() > 0.95


def test_retrieval_does_not_look_at_it(loaded: tuple[SchemaEncoder, EncodedCatalogue, EncodedEvents]) -> None:
    encoder, candidates, _ = loaded
    model = TwoTowerModel(RetrievalConfig(dimension=8), encoder, candidates, seed=1)
    assert "item_events" not in model.towers.candidate_tower.features.by_name
    assert model.towers.embed_candidates(candidates).shape[0] == NUM_ITEMS
