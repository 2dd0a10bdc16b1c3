"""New items take the place of the items that they resemble."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.vocabulary import Vocabulary
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, write_small_dataset
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.neighbours import neighbours_of_new

# Ids from 2 on were seen in training.
IDS = [2, 3, 4, 1, 1, 1]


def catalogue(**features: np.ndarray) -> EncodedCatalogue:
    encoded = {"item_id": np.array(IDS, np.int32), **features}
    return EncodedCatalogue(
        item_ids=tf.constant([f"i{n}" for n in range(len(IDS))]),
        features={name: tf.constant(values) for name, values in encoded.items()},
        train_frequency=np.array([3, 2, 1, 0, 0, 0]),
    )


def test_words_that_are_rare_tell_more() -> None:
    # The fourth item shares a common word with the first and third, and a rare one with the second.
    words = np.array([[5, 1, 0], [6, 1, 7], [8, 1, 0], [7, 1, 0], [0, 0, 0], [9, 0, 0]], np.int32)
    near = neighbours_of_new(catalogue(title=words), "item_id", 2, (("title", 1),), 2)
    assert near.of.tolist() == [3]
    assert near.rows[0, near.weights[0].argmax()] == 1
    assert near.weights.max() > 0.9
    assert near.weights.sum() == pytest.approx(1.0)


def test_single_values_and_vectors_count_too() -> None:
    maker = np.array([1, 2, 3, 3, 2, 0], np.int32)
    cover = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 9], [0, 0, 0], [8, 1, 0]], np.float32)
    near = neighbours_of_new(catalogue(maker=maker, cover=cover), "item_id", 2, (("cover", 1), ("maker", 1)), 1)
    assert near.of.tolist() == [3, 4, 5]
    assert near.rows[:, 0].tolist() == [2, 1, 0]


def test_what_is_unknown_is_not_alike() -> None:
    # The second item is the only known one whose maker is unknown, as those of new items are.
    maker, words = np.array([2, 1, 3, 1, 1, 1], np.int32), np.array([5, 6, 7, 5, 7, 0], np.int32)
    near = neighbours_of_new(catalogue(maker=maker, word=words), "item_id", 2, (("maker", 2), ("word", 1)), 1)
    assert near.of.tolist() == [3, 4]
    assert near.rows[:, 0].tolist() == [0, 2]


def test_numbers_are_no_directions() -> None:
    price = np.array([[1, 0], [2, 0], [3, 0], [1, 0], [2, 0], [3, 0]], np.float32)
    assert len(neighbours_of_new(catalogue(price=price), "item_id", 2, (("price", 1),), 2).of) == 0


def test_the_mean_is_weighted() -> None:
    words = np.array([[5, 0], [6, 0], [7, 8], [5, 6], [0, 0], [7, 8]], np.int32)
    near = neighbours_of_new(catalogue(title=words), "item_id", 2, (("title", 1),), 2)
    values = tf.constant(np.arange(12).reshape(6, 2), tf.float32)
    expected = [[1.0, 2.0], [4.0, 5.0]]  # half of the first two rows each, and all of the third
    np.testing.assert_allclose(near.mean(values), expected, atol=1e-6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """The small dataset without the last two items in its vocabulary."""
    dataset = write_small_dataset(tmp_path_factory.mktemp("new"))
    Vocabulary(tuple(f"i{n}" for n in range(NUM_ITEMS - 2))).write(dataset.vocabulary("item_id"))
    return dataset


@pytest.mark.parametrize("score", ["cosine", "dot"])
def test_the_model_embeds_new_items_as_their_like(dataset, score) -> None:
    encoder = SchemaEncoder(SCHEMA, dataset)
    candidates = load_catalogue(dataset, encoder)
    config = RetrievalConfig(dimension=4, score=score, new_item_neighbours=NUM_ITEMS)
    towers = TwoTowerModel(config, encoder, candidates, seed=0).towers
    draw = np.random.default_rng(0)
    for weight in towers.trainable_weights:
        weight.assign(draw.normal(size=weight.shape).astype(np.float32))
    found = towers.embed_candidates(candidates).numpy()
    plain = towers.candidate_tower(candidates.features).numpy()
    number = [int(item.decode()[1:]) for item in candidates.item_ids.numpy()]
    for row, item in enumerate(number):
        if item < NUM_ITEMS - 2:
            np.testing.assert_allclose(found[row], plain[row], atol=1e-6)
            continue
        like = [other for other, n in enumerate(number) if n % 2 == item % 2 and n < NUM_ITEMS - 2]
        mean = plain[like].mean(axis=0)
        length = np.linalg.norm(mean[:-1]) if score == "cosine" else 1.0
        np.testing.assert_allclose(found[row], [*(mean[:-1] / length), mean[-1]], atol=1e-4)


def test_it_is_off_by_default(dataset) -> None:
    encoder = SchemaEncoder(SCHEMA, dataset)
    candidates = load_catalogue(dataset, encoder)
    config = RetrievalConfig(dimension=4)
    assert config == replace(config, new_item_neighbours=0)
    towers = TwoTowerModel(config, encoder, candidates, seed=0).towers
    plain = towers.candidate_tower(candidates.features)
    np.testing.assert_array_equal(towers.embed_candidates(candidates), plain)
