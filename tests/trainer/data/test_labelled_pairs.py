"""Pairs take the query from the event and the candidate from the row; logged events are the special case."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from tests.trainer.histories import histories as histories_of
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA
from trainer.data.batches import gather_query
from trainer.data.catalogue import load_catalogue
from trainer.data.events import EncodedEvents, load_events
from trainer.data.labelled_pairs import LabelledPairs, LabelMoments, logged_pairs, pair_examples


@pytest.fixture(scope="module")
def events(small_dataset: DatasetLayout) -> EncodedEvents:
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    rows = load_catalogue(small_dataset, encoder).rows()
    return load_events(small_dataset.ranking("validation"), encoder, rows, records="ranking")


def test_logged_pairs_are_the_targets_with_their_own_items(events: EncodedEvents) -> None:
    pairs, targets = logged_pairs(events), events.targets()
    assert 0 < len(pairs) == len(targets) < len(events)
    batch = pair_examples(events, pairs, SCHEMA)(tf.range(len(pairs), dtype=tf.int64))
    query = gather_query(events, SCHEMA)(tf.constant(targets))
    assert batch["query"].keys() == query.keys()
    for name, values in query.items():
        np.testing.assert_array_equal(batch["query"][name], values)
    np.testing.assert_array_equal(batch["candidate_row"], events.candidate_row[targets])
    np.testing.assert_array_equal(batch["labels"], events.labels[targets])
    np.testing.assert_array_equal(batch["weight"], events.weight[targets])
    assert batch["pair"] == {}


def test_other_items_of_an_event_have_its_query_and_their_own_row(events: EncodedEvents) -> None:
    event = events.targets()[[3, 3, 0]]
    assert (events.candidate_row[event] != [0, 1, 2]).all()
    pairs = LabelledPairs(
        event=event,
        candidate_row=np.array([0, 1, 2], np.int32),
        labels=np.array([[1.0], [0.0], [np.nan]], np.float32),
        weight=np.array([1.0, 0.5, 2.0], np.float32),
        extra={"retrieval_score": np.array([0.9, 0.8, 0.7], np.float32)},
    )
    batch = pair_examples(events, pairs, SCHEMA)(tf.constant([1, 0, 2], tf.int64))
    assert batch["candidate_row"].numpy().tolist() == [1, 0, 2]
    np.testing.assert_array_equal(batch["labels"], [[0.0], [1.0], [np.nan]])
    assert batch["weight"].numpy().tolist() == [0.5, 1.0, 2.0]
    np.testing.assert_array_equal(batch["pair"]["retrieval_score"], np.array([[0.8], [0.9], [0.7]], np.float32))
    # The history is what the event's user did strictly before the event, whatever the item.
    np.testing.assert_array_equal(batch["query"]["history"], histories_of(events, event[[1, 0, 2]], 4))
    np.testing.assert_array_equal(batch["query"]["user_id"], events.user["user_id"][events.record_of_event()[event]])


def test_counters_of_other_items_have_to_be_given(events: EncodedEvents) -> None:
    counting = replace(SCHEMA, item_events=True)
    pairs = replace(logged_pairs(events), item_events=None)
    with pytest.raises(InputError, match="item_events"):
        pair_examples(events, pairs, counting)


def test_moments_are_those_of_the_known_labels_by_weight() -> None:
    pairs = LabelledPairs(
        event=np.zeros(4, np.int64),
        candidate_row=np.full(4, NUM_ITEMS - 1, np.int32),
        labels=np.array([[1.0, 5.0], [0.0, np.nan], [0.0, 1.0], [1.0, np.nan]], np.float32),
        weight=np.array([3.0, 1.0, 1.0, 1.0], np.float32),
    )
    share, rating = pairs.label_moments()
    assert share.mean == pytest.approx(4 / 6)
    assert share.deviation == pytest.approx(np.sqrt(4 / 6 * 2 / 6))
    assert rating.mean == pytest.approx((3 * 5 + 1) / 4)
    assert rating.deviation == pytest.approx(np.sqrt((3 * 1**2 + 3**2) / 4))
    nothing = replace(pairs, labels=np.full((4, 1), np.nan, np.float32))
    assert nothing.label_moments() == (LabelMoments(),)
