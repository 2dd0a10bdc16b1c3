import numpy as np
import pytest

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, record, write_learnt_parts, write_records
from trainer.data.catalogue import load_catalogue
from trainer.data.encoded_dataset import encode_dataset
from trainer.data.events import load_events
from trainer.evaluation.queries import count_training, evaluation_set, training_interactions, training_users


def test_next_targets_are_the_events_of_the_next_moment(tmp_path):
    layout = DatasetLayout(tmp_path / "dataset")
    layout.root.mkdir()
    test = [
        record(0, [0, 1, 2, 3, 4], [1, 5, 5, 5, 9], num_context=1),  # a basket of three, and another one later
        record(1, [5, 6], [5, 5], num_context=2),  # nothing to predict
        record(2, [7, 8, 9], [5, 5, 6], num_context=1),  # the context has the time of the first target
        record(3, [10, 11], [1, 2], num_context=0),
    ]
    write_records(layout.interactions("test"), test)
    write_learnt_parts(layout, dict.fromkeys(range(NUM_ITEMS), 1))
    encoder = SchemaEncoder(SCHEMA, layout)
    rows = load_catalogue(layout, encoder).rows()
    events = load_events(layout.interactions("test"), encoder, rows, records="retrieval")
    users = training_users(events, SCHEMA, 2)
    every, asked_at = evaluation_set(events, SCHEMA, users, 2, NUM_ITEMS)
    following, same = evaluation_set(events, SCHEMA, users, 2, NUM_ITEMS, only_next=True)
    assert [list(every.targets.slice(r, r + 1).values) for r in range(3)] == [[1, 2, 3, 4], [8, 9], [10, 11]]
    assert [list(following.targets.slice(r, r + 1).values) for r in range(3)] == [[1, 2, 3], [8], [10]]
    assert asked_at.tolist() == same.tolist() == [1, 8, 10]


@pytest.mark.parametrize("first_user_index", [2, 99])  # 99: none has an embedding, so that each record is a user
def test_training_events_in_blocks_count_and_sort_as_all_at_once(small_dataset, monkeypatch, first_user_index):
    dataset, directory = encode_dataset(SCHEMA, small_dataset), small_dataset.interactions("train")
    whole = dataset.events(directory, records="retrieval")
    monkeypatch.setattr("trainer.data.events._RECORDS_A_BATCH", 3)
    blocks = list(dataset.blocks(directory, records="retrieval"))
    assert len(blocks) > 2
    at_once, in_blocks = (
        training_interactions(each, SCHEMA, first_user_index, NUM_ITEMS) for each in ([whole], blocks)
    )
    for name in ("user_rows", "item_rows", "timestamps", "weights"):
        np.testing.assert_array_equal(getattr(at_once, name), getattr(in_blocks, name))
    counts = count_training(blocks, SCHEMA, first_user_index, NUM_ITEMS)
    np.testing.assert_array_equal(counts.popularity, np.bincount(whole.candidate_row[whole.candidate_row >= 0]))
    np.testing.assert_array_equal(counts.users.keys, training_users(whole, SCHEMA, first_user_index).keys)
    assert at_once.num_users == len(counts.users.keys)
