"""Raw queries are those that `evaluation_set` asks, with the values that a client would send."""

from pathlib import Path

import numpy as np

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, record, write_learnt_parts, write_records
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.evaluation.queries import evaluation_set, training_users
from trainer.evaluation.served import raw_queries


def write_test_split(layout: DatasetLayout) -> None:
    layout.root.mkdir()
    records = [
        record(0, [0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 9], num_context=5),
        record(1, [5, 6], [5, 5], num_context=2),  # nothing to predict
        record(2, [7, 8, 9], [5, 5, 6], num_context=1),  # what was seen at the moment of the target is no history
        record(3, [10, 11], [1, 2], num_context=0),
    ]
    write_records(layout.interactions("test"), records)
    write_learnt_parts(layout, dict.fromkeys(range(NUM_ITEMS), 1))


def test_queries_hold_what_was_known_before_the_first_target(tmp_path: Path) -> None:
    layout = DatasetLayout(tmp_path / "dataset")
    write_test_split(layout)
    queries = raw_queries(SCHEMA, layout, "test")
    assert queries.inputs == {
        "user_id": [b"u0", b"u2", b"u3"],
        "timestamp": [9, 5, 1],
        "history": [[b"i1", b"i2", b"i3", b"i4"], [], []],  # the last four
    }
    assert queries.seen == [[b"i0", b"i1", b"i2", b"i3", b"i4"], [b"i7"], []]


def test_their_order_is_that_of_the_evaluation(tmp_path: Path) -> None:
    layout = DatasetLayout(tmp_path / "dataset")
    write_test_split(layout)
    encoder = SchemaEncoder(SCHEMA, layout)
    rows = load_catalogue(layout, encoder).rows()
    events = load_events(layout.interactions("test"), encoder, rows, records="retrieval")
    judged, _ = evaluation_set(events, SCHEMA, training_users(events, SCHEMA, 2), 2, NUM_ITEMS)
    raw = raw_queries(SCHEMA, layout, "test")
    # Item i of the small dataset is row i of its catalogue.
    seen = [[b"i%d" % row for row in sorted(judged.seen.slice(place, place + 1).values)] for place in range(3)]
    assert raw.seen == seen


def test_some_queries_are_taken_with_all_that_belongs_to_them(tmp_path: Path) -> None:
    layout = DatasetLayout(tmp_path / "dataset")
    write_test_split(layout)
    taken = raw_queries(SCHEMA, layout, "test").take(np.array([2, 0]))
    assert taken.inputs["user_id"] == [b"u3", b"u0"]
    assert taken.seen[0] == []
