"""Changed histories: how many, by what, and that all else stays as it is."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from features.encoding.log_buckets import time_gaps
from features.encoding.schema_encoder import SchemaEncoder
from features.spec.history import HistoryTimesFeature
from tests.trainer.layers.test_encoders import LENGTH, Case, case_of, options
from tests.trainer.small_dataset import SCHEMA
from trainer.config.augmentation import AugmentationConfig
from trainer.config.encoders import ENCODERS, MeanConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.batches import Batch, event_examples, sequence_examples, set_examples
from trainer.data.catalogue import load_catalogue
from trainer.data.events import HISTORY_ROWS, load_events
from trainer.retrieval import augmentation as module
from trainer.retrieval.augmentation import HistoryAugmentation
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.similar_items import SimilarItems
from trainer.retrieval.tower import UNKNOWN_ITEM

TIMES = "history_times"
TIMED = replace(SCHEMA, query=(*SCHEMA.query, HistoryTimesFeature(name=TIMES)))
# Items 2, 3, 4 have two, one and no similar ones.
SIMILAR = SimilarItems(
    np.array([[0, 0], [1, 0], [3, 4], [2, 0], [4, 0]], np.int32), np.array([1, 1, 2, 1, 1], np.int32)
)
PACKED = tf.constant([[0, 1, 2, 3, 4, 0, 1, 2, 0, 1, -1, -1]] * 40)
"""Positions in rows of three stretches of 5, 3 and 2 places."""


def layer(schema=SCHEMA, *, step: int = 0, **shares: float) -> HistoryAugmentation:
    config = AugmentationConfig(neighbours=2, **shares)
    return HistoryAugmentation(config, schema, step=tf.Variable(step, dtype=tf.int64), similar_items=SIMILAR)


def lengths(items: tf.Tensor) -> np.ndarray:
    return np.count_nonzero(items, axis=1)


def test_shares_of_the_items_are_replaced_and_padding_never():
    items = tf.constant([[2, 3, 0]] * 20_000)
    found = layer(mask=0.2, substitute=0.3).replaced(items).numpy()
    assert (found[:, 2] == 0).all()
    # 20,000 draws: a standard deviation of at most 0.0035.
    masked = (found == UNKNOWN_ITEM).mean(axis=0)
    assert masked[:2] == pytest.approx([0.2, 0.2], abs=0.015)
    assert (found[:, 0] == 3).mean() == pytest.approx(0.15, abs=0.015)
    assert (found[:, 0] == 4).mean() == pytest.approx(0.15, abs=0.015)
    assert (found[:, 1] == 2).mean() == pytest.approx(0.3, abs=0.015)
    assert set(found[:, 0]) == {1, 2, 3, 4}
    assert set(found[:, 1]) == {1, 2, 3}


def test_items_without_similar_ones_stay():
    items = tf.constant([[4, 1, 0]] * 100)
    np.testing.assert_array_equal(layer(substitute=1.0).replaced(items), items)


def test_items_of_ragged_sets_are_replaced_too():
    sets = tf.ragged.constant([[2, 3], [], [3]], dtype=tf.int32)
    assert layer(mask=1.0).replaced(sets).to_list() == [[1, 1], [], [1]]


def test_steps_and_replicas_draw_for_themselves_and_again_the_same(monkeypatch):
    def drawn(step: int) -> list[list[int]]:
        return layer(step=step, mask=0.5).replaced(tf.fill([4, 20], 2)).numpy().tolist()

    first, later = drawn(7), drawn(8)
    assert first == drawn(7) != later
    monkeypatch.setattr(module, "replica_number", lambda: tf.constant(1, tf.int64))
    assert drawn(7) not in (first, later)


def test_a_share_of_the_histories_begins_later():
    history = tf.constant([[5, 6, 7, 8]] * 6_000 + [[5, 0, 0, 0]] * 10 + [[0, 0, 0, 0]] * 10)
    found = layer(crop=0.4).cropped({"history": history, "user_id": tf.range(6_020)})
    kept = lengths(found["history"])
    np.testing.assert_array_equal(kept[6_000:], lengths(history)[6_000:])
    # 6,000 draws: a standard deviation of at most 0.0064.
    shares = np.bincount(kept[:6_000], minlength=5) / 6_000
    assert shares[[0, 1, 2, 3, 4]] == pytest.approx([0, 0.4 / 3, 0.4 / 3, 0.4 / 3, 0.6], abs=0.025)
    for row, count in zip(found["history"].numpy()[:6_000], kept, strict=False):
        assert row.tolist() == [5, 6, 7, 8][4 - count :] + [0] * (4 - count)
    np.testing.assert_array_equal(found["user_id"], np.arange(6_020))


def test_what_lies_beside_a_history_is_cut_with_it():
    history = np.array([[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]] * 50, np.int32)
    times = np.where(history > 0, 100 + (np.arange(5) + 1) ** 3, 0)
    found = layer(TIMED, crop=1.0).cropped({"history": tf.constant(history), TIMES: time_gaps(tf.constant(times))})
    by_hand, kept = np.zeros_like(times), lengths(found["history"])
    for row, count in enumerate(kept):
        length = int(np.count_nonzero(history[row]))
        by_hand[row, :count] = times[row, length - count : length]
    np.testing.assert_array_equal(found[TIMES], time_gaps(tf.constant(by_hand)))
    assert set(kept) == {1, 2, 3, 4}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODERS.names)
def test_a_cropped_history_is_encoded_as_one_that_was_cut_by_hand(kind):
    case = case_of(options(kind, 0.0))
    history = [[2, 3, 4, 5, 6, 7]] * 30
    found = layer(crop=0.5).cropped({"history": tf.constant(history)})["history"]
    by_hand = [[*range(8 - count, 8), *[0] * (6 - count)] for count in lengths(found)]
    np.testing.assert_array_equal(case.last(found.numpy().tolist()), case.last(by_hand))
    assert len({*map(tuple, by_hand)}) == LENGTH


def cuts(positions: tf.Tensor, schema=SCHEMA, crop: float = 1.0, beside=None) -> dict:
    return layer(schema, crop=crop).cropped_rows(positions, beside or {})


def test_stretches_are_cut_in_two_at_any_place():
    found = cuts(PACKED)["positions"].numpy()
    np.testing.assert_array_equal(found[:, 10:], -1)
    seen = set()
    for row in found[:, :10]:
        for start, size in ((0, 5), (5, 3), (8, 2)):
            stretch = row[start : start + size].tolist()
            cut = stretch.index(0, 1)
            assert stretch == [*range(cut), *range(size - cut)]
            seen.add((size, cut))
    assert seen == {(5, 1), (5, 2), (5, 3), (5, 4), (3, 1), (3, 2), (2, 1)}


def test_a_share_of_the_stretches_is_cut():
    found = cuts(tf.tile(PACKED, [50, 1]), crop=0.3)["positions"].numpy()
    # 6,000 stretches; a cut one has one more beginning.
    assert (found == 0).sum() - 6_000 == pytest.approx(0.3 * 6_000, abs=150)


def test_the_first_entry_after_a_cut_has_no_time_before_it():
    gaps = tf.where(PACKED > 0, 7, 0)
    found = cuts(PACKED, TIMED, beside={TIMES: gaps, "other": gaps})
    np.testing.assert_array_equal(found["beside"][TIMES], np.where(found["positions"] > 0, 7, 0))
    np.testing.assert_array_equal(found["beside"]["other"], gaps)


def alone(case: Case, items: list[int]) -> np.ndarray:
    return case.states([items], [[*range(len(items))]])[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODERS.names)
def test_both_parts_of_a_cut_stretch_are_encoded_as_histories_of_their_own(kind):
    case, items = case_of(options(kind, 0.0)), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0]
    positions = cuts(PACKED[:4])["positions"]
    states = case.states([items] * 4, positions.numpy().tolist()).numpy()
    for row, found in zip(positions.numpy(), states, strict=True):
        starts = [*np.flatnonzero(row == 0), 10]
        parts = [alone(case, items[start:end]) for start, end in pairwise(starts)]
        np.testing.assert_allclose(found[:10], np.concatenate(parts), atol=2e-5)


def batch_of(dataset, make) -> Batch:
    encoder = SchemaEncoder(SCHEMA, dataset)
    rows = load_catalogue(dataset, encoder).rows()
    return make(load_events(dataset.interactions("train"), encoder, rows, records="retrieval"))


def sequences(dataset) -> Batch:
    packed = tf.constant([[[0, 0], [1, 1], [2, 2], [3, 3]], [[4, 0], [5, 1], [6, 2], [7, 3]]], tf.int64)
    return batch_of(dataset, lambda events: sequence_examples(events, SCHEMA)(packed))


def single(dataset) -> Batch:
    wanted = tf.constant([1, 2, 3, 7, 11], tf.int64)
    return batch_of(dataset, lambda events: event_examples(events, SCHEMA, with_entries=True)(wanted))


@pytest.mark.slow
def test_nothing_but_histories_is_changed(small_dataset):
    every = HistoryAugmentation(
        AugmentationConfig(crop=1.0, mask=1.0), SCHEMA, step=tf.Variable(0, dtype=tf.int64), similar_items=None
    )
    for batch, changed in ((sequences(small_dataset), {"items", "positions"}), (single(small_dataset), {"history"})):
        found = every(batch)
        before, after = batch | batch["query"], found | found["query"]
        assert before.keys() == after.keys()
        same = {name for name in before if name != "query" and np.array_equal(before[name], after[name])}
        assert {*before} - same - {"query", "beside"} == changed
        assert HISTORY_ROWS in same or "items" in changed


def model_of(dataset, config: RetrievalConfig) -> TwoTowerModel:
    encoder = SchemaEncoder(SCHEMA, dataset)
    model = TwoTowerModel(config, encoder, load_catalogue(dataset, encoder), seed=1)
    draw = np.random.default_rng(0)
    for weight in model.trainable_variables:  # what starts at zero shall count too
        weight.assign(draw.normal(size=weight.shape, scale=0.5).astype(np.float32))
    return model


MASKED = AugmentationConfig(mask=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("side_features", [False, True])
@pytest.mark.parametrize("make", [sequences, single])
def test_loss_is_that_of_the_changed_histories_in_training_alone(small_dataset, make, side_features):
    """Of each model of an ensemble."""
    encoder = MeanConfig(side_features=side_features)
    plain = RetrievalConfig(dimension=8, encoder=encoder, ensemble=(encoder,))
    without = model_of(small_dataset, plain)
    model = model_of(small_dataset, replace(plain, augmentation=MASKED))
    batch = make(small_dataset)

    def unknown(items: tf.Tensor) -> tf.Tensor:
        return tf.where(items > 0, UNKNOWN_ITEM, items)

    by_hand = dict(batch)
    if "items" in batch:
        by_hand["items"] = unknown(batch["items"])
    else:
        by_hand["query"] = batch["query"] | {"history": unknown(batch["query"]["history"])}
    expected = float(without.compute_loss(by_hand))
    assert float(model.compute_loss(batch, training=True)) == pytest.approx(expected)
    assert float(model.compute_loss(batch)) == pytest.approx(float(without.compute_loss(batch)))
    assert abs(float(without.compute_loss(batch)) - expected) > 0.01
    frozen = model.towers.frozen().query_tower(single(small_dataset)["query"])
    np.testing.assert_allclose(frozen, without.towers.frozen().query_tower(single(small_dataset)["query"]), rtol=1e-5)


@pytest.mark.slow
def test_what_was_taken_before_counts_as_it_was(small_dataset):
    """Where vectors say nothing, the loss comes from the repeats alone."""
    config = RetrievalConfig(dimension=8, repeat=1.0, leave_out=("user_id", "timestamp", "parity"))
    losses = []
    for augmentation in (AugmentationConfig(), AugmentationConfig(crop=1.0, mask=1.0)):
        model = model_of(small_dataset, replace(config, augmentation=augmentation))
        for weight in model.towers.pairs[0].trainable_variables:
            weight.assign(tf.zeros_like(weight))
        losses.append(float(model.compute_loss(single(small_dataset), training=True)))
    assert losses[0] == losses[1] > 0


@pytest.mark.slow
def test_sets_keep_their_targets(small_dataset):
    batch = batch_of(small_dataset, lambda events: set_examples(events, SCHEMA)(tf.range(3, dtype=tf.int64)))
    found = layer(mask=1.0)(batch)
    assert {*found["query"]["history"].flat_values.numpy()} == {UNKNOWN_ITEM}
    np.testing.assert_array_equal(found["positive_row"], batch["positive_row"])
