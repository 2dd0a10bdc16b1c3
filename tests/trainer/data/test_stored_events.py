from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from features.records.parse import shard_files
from tests.trainer.small_dataset import SCHEMA
from trainer.data.catalogue import load_catalogue
from trainer.data.events import EncodedEvents, encoded_batches, load_events
from trainer.data.stored_events import StoredEvents, store_events


def stored_at(path: Path, dataset, kind) -> tuple[StoredEvents, EncodedEvents]:
    """A split on disk, one record a chunk, and in memory."""
    encoder = SchemaEncoder(SCHEMA, dataset)
    rows = load_catalogue(dataset, encoder).rows()
    directory = dataset.interactions("train") if kind == "retrieval" else dataset.ranking("train")
    batches = encoded_batches(directory, shard_files(directory), encoder, rows, records=kind)
    stored = store_events(path, batches, SCHEMA)
    stored = replace(stored, chunks=np.arange(len(stored.record_splits)))
    return stored, load_events(directory, encoder, rows, records=kind)


def assert_equal(found: EncodedEvents, expected: EncodedEvents) -> None:
    for field in fields(EncodedEvents):
        of_found, of_expected = getattr(found, field.name), getattr(expected, field.name)
        of_found, of_expected = (
            values if isinstance(values, dict) else {"": values} for values in (of_found, of_expected)
        )
        assert of_found.keys() == of_expected.keys()
        for name, values in of_found.items():
            assert values.dtype == of_expected[name].dtype, (field.name, name)
            np.testing.assert_array_equal(values, of_expected[name], field.name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["retrieval", "ranking"])
def test_what_is_stored_is_what_is_loaded(small_dataset, tmp_path, kind):
    stored, events = stored_at(tmp_path / "x", small_dataset, kind)
    assert len(stored) == len(events)
    assert_equal(stored.read(np.arange(stored.num_chunks)), events)
    # Opened again, without the shards.
    assert_equal(store_events(tmp_path / "x", [], SCHEMA).read(np.array([0])), events)


def test_chunks_come_in_the_order_asked_for(small_dataset, tmp_path):
    stored, events = stored_at(tmp_path / "x", small_dataset, "retrieval")
    found = stored.read(np.array([5, 2]))
    lengths = np.diff(events.record_splits)
    np.testing.assert_array_equal(found.record_splits, [0, lengths[5], lengths[5] + lengths[2]])
    np.testing.assert_array_equal(found.user["user_id"], events.user["user_id"][[5, 2]])
    own = [event for record in (5, 2) for event in range(*events.record_splits[record : record + 2])]
    np.testing.assert_array_equal(found.item_index, events.item_index[own])


def test_blocks_hold_every_chunk_once_and_no_more_events_than_asked_for(small_dataset, tmp_path):
    stored, events = stored_at(tmp_path / "x", small_dataset, "retrieval")
    blocks = list(stored.blocks(12))
    assert np.concatenate(blocks).tolist() == list(range(stored.num_chunks))
    # Twelve, and those with which the last record of a block begins the next one.
    assert max(len(stored.read(block)) for block in blocks) < 12 + np.diff(events.record_splits).max()
    assert stored.time_span(12) == (events.timestamp.min(), events.timestamp.max())


def test_chunks_are_whole_records_of_about_a_thousand_events(small_dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.data.stored_events._EVENTS_A_CHUNK", 10)
    stored_at(tmp_path / "x", small_dataset, "retrieval")
    stored = store_events(tmp_path / "x", [], SCHEMA)
    # Records of 4 events begin at 12, 20, 32, …: the first ones at or beyond each multiple of 10.
    assert stored.chunks.tolist() == [0, 3, 5, 8, 10, 13, 15, 16]


def test_a_file_that_is_too_short_is_named(small_dataset, tmp_path):
    stored, _ = stored_at(tmp_path / "x", small_dataset, "retrieval")
    path = stored.columns["item_index"].path
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match=rf"{path.name}: 64 rows expected, 63 found; delete"):
        store_events(tmp_path / "x", [], SCHEMA)
    with pytest.raises(InputError, match="ends too early"):
        stored.read(np.array([stored.num_chunks - 1]))


def test_what_was_begun_and_not_finished_is_not_there(small_dataset, tmp_path):
    def batches():
        yield {"length": np.array([1])}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_events(tmp_path / "x", batches(), SCHEMA)
    assert list(tmp_path.iterdir()) == []
