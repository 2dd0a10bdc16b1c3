"""What a streamed epoch holds: each example once, in the order of the seed, as examples in memory would be."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.data.test_stored_events import stored_at
from tests.trainer.small_dataset import SCHEMA
from trainer.config.retrieval import RetrievalConfig
from trainer.data.batches import event_examples
from trainer.data.packing import stretches
from trainer.data.streaming import ExampleStream, PackedStream, StreamPlan, count_examples
from trainer.ranking.stage import _examples_of as labelled_pairs
from trainer.retrieval.examples import _MAKERS

pytestmark = pytest.mark.slow  # reads epochs through TensorFlow

CONFIG = RetrievalConfig()


def maker(kind):
    if kind == "pair":
        return labelled_pairs(SCHEMA)
    return partial(_MAKERS[kind], config=CONFIG, schema=SCHEMA)


@pytest.fixture(scope="module")
def splits(small_dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("stored")
    return {kind: stored_at(root / kind, small_dataset, kind) for kind in ("retrieval", "ranking")}


def plan_of(splits, kind="event", *, batch_size=8, steps_per_block=3, seed=7, replicas=1) -> ExampleStream:
    stored, _ = splits["ranking" if kind == "pair" else "retrieval"]
    counts = count_examples(stored, lambda events: maker(kind)(events).records, block_events=10)
    return ExampleStream(
        stored=stored,
        chunk_examples=counts,
        num_examples=int(counts.sum()),
        steps_per_epoch=int(counts.sum()) // batch_size,
        steps_per_block=steps_per_block,
        replicas=replicas,
        seed=(seed, 0),
        examples_of=maker(kind),
        batch_size=batch_size,
    )


def packed_plan(stored, *, steps, steps_per_block, width=5, replicas=1, length=4) -> PackedStream:
    def records(events):
        return events.record_of_event()[stretches(events, length)[0]]

    return PackedStream(
        stored=stored,
        chunk_examples=count_examples(stored, records, block_events=10),
        num_examples=0,
        steps_per_epoch=steps,
        steps_per_block=steps_per_block,
        replicas=replicas,
        seed=(7, 0),
        length=length,
        width=width,
    )


def targets(plan: PackedStream, epoch: int = 0, first_step: int = 0) -> list[list[tuple[int, int]]]:
    """The user and the item of each positive, by batch."""
    found = []
    for batch in batches(plan, epoch, first_step):
        users = tf.gather(batch["query"]["user_id"], batch["positive_query"]).numpy()
        found.append(list(zip(users, batch["positive_row"].numpy(), strict=True)))
    return found


def batches(plan: StreamPlan, epoch: int = 0, first_step: int = 0) -> Iterator[dict]:
    for section in plan.sections(epoch, first_step):
        yield from section(tf.distribute.InputContext())


def examples(plan: StreamPlan, epoch: int = 0, first_step: int = 0) -> list[list[tuple[int, ...]]]:
    """Of each batch, the users and the items that tell one example of the dataset from all others."""
    found = []
    for batch in batches(plan, epoch, first_step):
        users = batch["query"]["user_id"].numpy()
        if "positive_row" in batch:
            rows = tf.RaggedTensor.from_value_rowids(batch["positive_row"], batch["positive_query"], len(users))
            found.append([(user, *items) for user, items in zip(users, rows.to_list(), strict=True)])
        else:
            found.append(list(zip(users, batch["candidate_row"].numpy(), strict=True)))
    return found


@pytest.mark.parametrize(("kind", "number"), [("event", 64), ("basket", 64), ("set", 16), ("pair", 128)])
def test_an_epoch_holds_each_example_once(splits, kind, number):
    plan = plan_of(splits, kind)
    first, second = (Counter(chain(*examples(plan, epoch))) for epoch in (0, 1))
    assert first.keys() == second.keys()
    assert set(first.values()) == set(second.values()) == {1}
    assert len(first) == number == plan.num_examples


def test_blocks_that_cut_records_in_two_lose_none(splits):
    # 5 examples a step of users with 4: every block but the first begins in the middle of a user.
    plan = plan_of(splits, batch_size=5, steps_per_block=1)
    found = Counter(chain(*examples(plan)))
    assert set(found.values()) == {1}
    assert len(found) == 60  # whole batches of 64


# 16 stretches of 4 events. With 8 places to a row, two of them share one, so that 5 steps have too few rows.
@pytest.mark.parametrize(
    ("steps", "steps_per_block", "width"),
    [
        (1, 1, 5),
        (4, 2, 5),
        (5, 2, 8),
        (13, 3, 5),
        (16, 5, 8),
    ],
)
@pytest.mark.parametrize("replicas", [1, 2])
def test_a_packed_epoch_holds_each_event_with_a_history_once(splits, steps, steps_per_block, width, replicas):
    stored, events = splits["retrieval"]
    plan = packed_plan(stored, steps=steps, steps_per_block=steps_per_block, width=width, replicas=replicas)
    found = targets(plan)
    assert len(found) == steps * replicas
    assert replicas > 1 or all(found)
    users = events.user["user_id"][events.record_of_event()]
    with_history = np.setdiff1d(np.arange(len(events)), events.record_splits[:-1])
    assert Counter(chain(*found)) == Counter(zip(users[with_history], events.candidate_row[with_history], strict=True))
    assert Counter(chain(*found)) == Counter(chain(*targets(plan, epoch=1)))
    for first_step in range(0, steps, 3):
        assert targets(plan, first_step=first_step) == found[first_step * replicas :]


def test_packed_steps_are_of_equal_size_but_for_a_row(splits):
    plan = packed_plan(splits["retrieval"][0], steps=4, steps_per_block=2)
    for block in (plan.block(0, 0, 2), plan.block(0, 2, 2)):
        rows = (block.indices[..., 0, 1] >= 0).sum(axis=1)
        assert rows.max() - rows.min() <= 1
        assert block.indices.shape[1] == rows.max()


def test_the_order_is_that_of_seed_and_epoch(splits):
    plan = plan_of(splits)
    assert examples(plan) == examples(plan_of(splits))
    assert examples(plan) != examples(plan, epoch=1)
    assert examples(plan) != examples(plan_of(splits, seed=8))


@pytest.mark.parametrize("first_step", range(9))
def test_an_epoch_goes_on_in_its_middle(splits, first_step):
    plan = plan_of(splits)
    assert examples(plan, first_step=first_step) == examples(plan)[first_step:]


def test_replicas_share_each_batch(splits):
    whole, parts = examples(plan_of(splits)), examples(plan_of(splits, replicas=2))
    assert [one + other for one, other in zip(parts[::2], parts[1::2], strict=True)] == whole


def test_users_of_a_block_come_from_everywhere(splits):
    plan = plan_of(splits, steps_per_block=4)  # two blocks
    first = {user for batch in examples(plan)[:4] for user, _ in batch}
    assert len(first) == 8
    assert first != set(range(2, 10))
    together = [len({user for user, _ in batch}) for batch in examples(plan)]
    assert max(together) > 2  # in the order of the records, a batch of 8 would be 2 users


def test_a_batch_is_what_the_events_in_memory_give(splits):
    """Equal batches have equal gradients."""
    _, events = splits["retrieval"]
    gather = event_examples(events, SCHEMA)
    users = events.user["user_id"][events.record_of_event()]
    event_of = {pair: event for event, pair in enumerate(zip(users, events.candidate_row, strict=True))}
    plan = plan_of(splits)
    for batch, of_batch in zip(batches(plan), examples(plan), strict=True):
        expected = gather(tf.constant([event_of[example] for example in of_batch], tf.int64))
        tf.nest.map_structure(lambda one, other: np.testing.assert_array_equal(one, other), dict(batch), expected)


def test_a_reader_that_fails_says_so(splits, tmp_path):
    plan = plan_of(splits)
    gone = {name: replace(column, path=tmp_path / "gone") for name, column in plan.stored.columns.items()}
    sections = replace(plan, stored=replace(plan.stored, columns=gone)).sections(0, 0)
    with pytest.raises(FileNotFoundError):
        next(sections)
