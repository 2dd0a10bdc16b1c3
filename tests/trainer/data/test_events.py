from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.disk.shards import shard_name
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from tests.trainer.histories import histories as histories_of
from tests.trainer.small_dataset import SCHEMA, record, write_records
from trainer.data.catalogue import load_catalogue
from trainer.data.events import EncodedEvents, load_events


def load(layout: DatasetLayout, directory: Path) -> EncodedEvents:
    encoder = SchemaEncoder(SCHEMA, layout)
    return load_events(directory, encoder, load_catalogue(layout, encoder).rows(), records="retrieval")


@pytest.fixture
def baskets(small_dataset, tmp_path) -> EncodedEvents:
    """User 0 takes i0, then i1 and i2 at once, then i3 and something unknown; user 1 takes i5."""
    write_records(tmp_path / "x", [record(0, [0, 1, 2, 3, 99], [1, 2, 2, 3, 4], num_context=2), record(1, [5], [1])])
    return load(small_dataset, tmp_path / "x")


def test_history_is_strictly_before_and_ends_with_the_latest(baskets):
    index = {n: baskets.item_index[n] for n in range(6)}
    histories = histories_of(baskets, np.arange(6), 2)
    expected = [[0, 0], [index[0], 0], [index[0], 0], [index[1], index[2]], [index[2], index[3]], [0, 0]]
    np.testing.assert_array_equal(histories, expected)


def test_places_back_lead_to_the_last_event_of_an_earlier_moment(baskets):
    assert baskets.places_back()[[1, 2, 3, 4]].tolist() == [1, 2, 1, 1]
    assert baskets.places_back()[[0, 5]].tolist() == [1, 1]  # before the first event of their records


def test_weights_halve_with_each_half_life_before_the_last_event(baskets):
    # Times 1, 2, 2, 3, 4 and 1: a third of the three seconds is one second.
    weights = baskets.weighted_by_age(1 / 3).weight
    np.testing.assert_allclose(weights, [1 / 8, 1 / 4, 1 / 4, 1 / 2, 1, 1 / 8])


def test_moments_end_before_the_next_time_or_record(baskets):
    assert baskets.ends_of_moments(np.array([1, 5])).tolist() == [3, 6]
    # A first event that is the next record's, of a record without targets: no event is of that moment.
    assert baskets.ends_of_moments(np.array([5, 6])).tolist() == [5, 6]


def test_targets_are_after_the_context_and_in_the_catalogue(baskets):
    assert baskets.targets().tolist() == [2, 3, 5]


def test_encodes_items_as_the_encoder_does(baskets, small_dataset):
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    ids = tf.constant(["i0", "i1", "i2", "i3", "i99", "i5"])
    np.testing.assert_array_equal(baskets.item_index, encoder.encode(SCHEMA.item_id_feature, ids))
    assert baskets.candidate_row.tolist() == [0, 1, 2, 3, -1, 5]


def test_missing_shards_name_the_command(small_dataset, tmp_path):
    with pytest.raises(InputError, match="recstack prepare"):
        load(small_dataset, tmp_path)


def test_split_without_records_has_no_events(small_dataset, tmp_path):
    write_records(tmp_path / "empty", [])
    events = load(small_dataset, tmp_path / "empty")
    assert len(events) == 0
    assert events.targets().tolist() == []


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no gzip" + data])
def test_damaged_shard_is_named_with_what_to_do(small_dataset, tmp_path, damage):
    write_records(tmp_path / "x", [record(0, [0, 1], [1, 2]), record(1, [2, 3], [1, 2])])
    (shard,) = (tmp_path / "x").iterdir()
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(InputError, match=r"/x: a shard cannot be read \(.+\); .* run `recstack prepare` again"):
        load(small_dataset, tmp_path / "x")


def test_missing_shard_is_not_taken_for_a_smaller_split(small_dataset, tmp_path):
    write_records(tmp_path / "x", [record(0, [0, 1], [1, 2])])
    (shard,) = (tmp_path / "x").iterdir()
    shard.rename(shard.with_name(shard_name(0, 3)))
    with pytest.raises(InputError, match="3 TFRecord shards expected, 1 found"):
        load(small_dataset, tmp_path / "x")
