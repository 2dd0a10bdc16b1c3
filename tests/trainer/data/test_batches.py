from itertools import chain

import numpy as np
import pytest
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.histories import histories as histories_of
from tests.trainer.small_dataset import SCHEMA, record, write_records
from trainer.data.batches import (
    BatchPlan,
    basket_examples,
    baskets_of,
    batch_size_for,
    event_examples,
    sequence_examples,
    set_examples,
)
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.data.packing import pack, stretches


@pytest.fixture(scope="module")
def events(small_dataset):
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    rows = load_catalogue(small_dataset, encoder).rows()
    return load_events(small_dataset.interactions("train"), encoder, rows, records="retrieval")


def numbers(count: int, batch_size: int) -> BatchPlan:
    return BatchPlan(
        arrange=lambda generator: generator.permutation(count),
        num_examples=count,
        gather=lambda indices: {"index": indices},
        batch_size=batch_size,
        seed=5,
    )


def indices(examples: BatchPlan, epoch: int = 0, first_step: int = 0, pipelines: int = 1, replicas: int = 1) -> list:
    parts = []
    for pipeline in range(pipelines):
        context = tf.distribute.InputContext(pipelines, pipeline, replicas)
        parts.append([batch["index"].numpy().tolist() for batch in examples.epoch(epoch, first_step, context)])
    return parts


def test_an_epoch_holds_each_example_once_and_no_part_of_a_batch():
    (batches,) = indices(numbers(23, 5))
    assert [len(batch) for batch in batches] == [5] * 4
    assert len(set(chain(*batches))) == 20
    assert indices(numbers(23, 5), epoch=1) != [batches]


def test_a_later_first_step_goes_on_where_the_earlier_ones_end():
    (batches,) = indices(numbers(20, 5))
    assert indices(numbers(20, 5), first_step=3) == [batches[3:]]


@pytest.mark.parametrize(("pipelines", "replicas"), [(1, 2), (2, 2), (2, 4)])
def test_replicas_share_the_batches_of_one(pipelines, replicas):
    (whole,) = indices(numbers(24, 8))
    parts = indices(numbers(24, 8), pipelines=pipelines, replicas=replicas)
    a_step = replicas // pipelines
    shared = [
        list(chain(*(chain(*part[step * a_step : (step + 1) * a_step]) for part in parts)))
        for step in range(len(whole))
    ]
    assert shared == whole


def test_batches_leave_eight_steps_and_equal_parts():
    assert batch_size_for(1024, 10_000, 1) == 1024
    assert batch_size_for(1024, 800, 1) == 100
    assert batch_size_for(1024, 800, 3) == 99
    assert batch_size_for(1024, 3, 2) == 2


def test_event_example_is_its_item_after_its_history(events):
    batch = event_examples(events, SCHEMA)(tf.constant([2, 4], tf.int64))
    np.testing.assert_array_equal(batch["query"]["history"], histories_of(events, np.array([2, 4]), 4))
    np.testing.assert_array_equal(batch["positive_row"], events.candidate_row[[2, 4]])
    np.testing.assert_array_equal(batch["query"]["user_id"], events.user["user_id"][[0, 1]])


def test_basket_example_is_all_items_of_a_moment_after_the_history(small_dataset, tmp_path):
    lines = [
        record(0, [0, 1, 2, 99, 3], [1, 2, 2, 2, 3]),
        record(1, [5], [3]),
        record(2, [4, 6, 8], [1, 4, 4], num_context=1),
    ]
    write_records(tmp_path / "x", lines)
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    events = load_events(tmp_path / "x", encoder, load_catalogue(small_dataset, encoder).rows(), records="retrieval")
    baskets = baskets_of(events)
    members = np.split(baskets.targets, baskets.splits[1:-1])
    assert [events.candidate_row[events_of].tolist() for events_of in members] == [[0], [1, 2], [3], [5], [6, 8]]
    batch = basket_examples(events, SCHEMA, baskets)(tf.constant([4, 1], tf.int64))
    np.testing.assert_array_equal(batch["query"]["history"], histories_of(events, np.array([7, 1]), 4))
    np.testing.assert_array_equal(batch["query"]["user_id"], events.user["user_id"][[2, 0]])
    assert batch["positive_query"].numpy().tolist() == [0, 0, 1, 1]
    assert batch["positive_row"].numpy().tolist() == [6, 8, 1, 2]
    np.testing.assert_allclose(batch["weight"], np.full(4, 2**-0.5))


def test_set_example_has_all_items_as_history_and_positives(events):
    batch = set_examples(events, SCHEMA)(tf.constant([3], tf.int64))
    own = slice(*events.record_splits[3:5])
    np.testing.assert_array_equal(batch["query"]["history"].to_tensor()[0], events.item_index[own])
    np.testing.assert_array_equal(batch["positive_row"], events.candidate_row[own])
    np.testing.assert_array_equal(batch["weight"], np.ones(4))


def test_sequences_hold_the_same_examples_as_events(events):
    """For every positive: the item, its context, and the items up to the state it is asked after."""
    packed = pack(*stretches(events, 4), 10, np.random.default_rng(0))
    batch = sequence_examples(events, SCHEMA)(tf.constant(packed))
    found = set()
    for row, query in zip(batch["positive_row"].numpy(), batch["positive_query"].numpy(), strict=True):
        line, place = batch["state"].numpy()[query]
        history = batch["items"].numpy()[line, place - batch["positions"].numpy()[line, place] : place + 1]
        found.add((int(row), int(batch["query"]["user_id"][query]), *history.tolist()))
    wanted = set()
    for event in events.targets():
        history = [index for index in histories_of(events, np.array([event]), 4)[0].tolist() if index]
        user = int(events.user["user_id"][events.record_of_event()[event]])
        if history:
            wanted.add((int(events.candidate_row[event]), user, *history))
    assert found == wanted
