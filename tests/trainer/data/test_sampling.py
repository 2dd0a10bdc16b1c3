import numpy as np
import pytest

from features.encoding.schema_encoder import SchemaEncoder
from features.records.parse import shard_files
from tests.trainer.small_dataset import SCHEMA, record, write_records
from trainer.data.catalogue import load_catalogue
from trainer.data.encoded_dataset import encode_dataset
from trainer.data.events import EncodedEvents, encoded_batches, event_blocks, load_events
from trainer.data.sampling import sample_events, sample_targets


def drawn(dataset, directory, number) -> EncodedEvents:
    encoder = SchemaEncoder(SCHEMA, dataset)
    rows = load_catalogue(dataset, encoder).rows()
    return sample_events(directory, encoder, rows, records="retrieval", num_records=number, seed=0)


def users(events: EncodedEvents) -> list[int]:
    return sorted(events.user["user_id"].tolist())


@pytest.mark.slow
def test_a_sample_holds_whole_records(small_dataset):
    directory = small_dataset.interactions("validation")
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    everyone = load_events(directory, encoder, load_catalogue(small_dataset, encoder).rows(), records="retrieval")
    sample = drawn(small_dataset, directory, 5)
    assert len(set(users(sample))) == 5
    for record_of_sample, user in enumerate(sample.user["user_id"]):
        (own,) = np.flatnonzero(everyone.user["user_id"] == user)
        np.testing.assert_array_equal(
            sample.item_index[slice(*sample.record_splits[record_of_sample : record_of_sample + 2])],
            everyone.item_index[slice(*everyone.record_splits[own : own + 2])],
        )
    assert users(drawn(small_dataset, directory, 99)) == users(everyone)


def test_records_without_targets_are_not_drawn(small_dataset, tmp_path):
    lines = [record(user, [0, 1], [1, 2], num_context=2 if user % 2 else 1) for user in range(8)]
    write_records(tmp_path / "x", lines)
    assert users(drawn(small_dataset, tmp_path / "x", 99)) == [2, 4, 6, 8]  # rows of u0, u2, u4 and u6


def test_every_record_is_as_likely_however_many_batches_there_are(small_dataset, monkeypatch):
    monkeypatch.setattr("trainer.data.events._RECORDS_A_BATCH", 3)
    directory, encoder = small_dataset.interactions("validation"), SchemaEncoder(SCHEMA, small_dataset)
    rows = load_catalogue(small_dataset, encoder).rows()
    read = list(encoded_batches(directory, shard_files(directory), encoder, rows, records="retrieval"))
    monkeypatch.setattr("trainer.data.sampling.encoded_batches", lambda *given, **named: iter(read))
    often = np.zeros(18)
    for seed in range(120):
        sample = sample_events(directory, encoder, rows, records="retrieval", num_records=4, seed=seed)
        assert len(sample.user["user_id"]) == 4
        often[sample.user["user_id"]] += 1
    # 120 draws of 4 out of 16: 30 of each, with a standard deviation of (120 * 1/4 * 3/4)^1/2 = 4.7.
    assert abs(often[2:] - 30).max() < 4.5 * 4.8


@pytest.mark.parametrize("number", [1, 7, 99])
def test_sampled_targets_are_those_of_the_whole_split_in_memory(small_dataset, monkeypatch, number):
    dataset, directory = encode_dataset(SCHEMA, small_dataset), small_dataset.interactions("validation")
    everything = dataset.events(directory, records="retrieval")
    drawn = np.sort(np.random.default_rng(3).permutation(everything.targets())[:number])
    monkeypatch.setattr("trainer.data.events._RECORDS_A_BATCH", 3)
    events, targets = sample_targets(directory, dataset, number, seed=3)
    of_users = [
        (part.user["user_id"][part.record_of_event()[places]], part.candidate_row[places], part.timestamp[places])
        for part, places in ((everything, drawn), (events, targets))
    ]
    np.testing.assert_array_equal(*of_users)
    assert len(targets) == min(number, len(everything.targets()))


def test_blocks_of_a_split_are_the_split(small_dataset, monkeypatch):
    dataset, directory = encode_dataset(SCHEMA, small_dataset), small_dataset.interactions("train")
    whole = dataset.events(directory, records="retrieval")
    monkeypatch.setattr("trainer.data.events._RECORDS_A_BATCH", 3)
    blocks = list(event_blocks(directory, dataset.encoder, dataset.candidates.rows(), records="retrieval"))
    assert len(blocks) > 2
    np.testing.assert_array_equal(np.concatenate([block.item_index for block in blocks]), whole.item_index)
    assert sum(block.num_records for block in blocks) == whole.num_records
