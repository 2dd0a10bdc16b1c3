from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, record, write_learnt_parts, write_records
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.evaluation.queries import evaluation_set, training_users


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
