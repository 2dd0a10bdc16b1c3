"""What users took before their stored histories is left out of answers too."""

from itertools import chain

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import SPLITS, DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import NUM_USERS, SCHEMA, course
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.export.earlier_items import EarlierItems, earlier_items
from trainer.index.item_ids import ItemIds
from trainer.metrics.protocol import Ragged


def test_they_are_the_items_of_all_events_but_the_last_ones(small_dataset: DatasetLayout) -> None:
    """Each user has six events over all splits, of which a stored history holds four."""
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    candidates = load_catalogue(small_dataset, encoder)
    blocks = [
        load_events(small_dataset.interactions(split), encoder, candidates.rows(), records="retrieval")
        for split in SPLITS
    ]
    found = earlier_items(encoder, chain(blocks), 4)
    ids = candidates.item_ids.numpy()
    users = [int(token.removeprefix("u")) for token in encoder.lookup("user_id").vocabulary.tokens]
    assert sorted(users) == list(range(NUM_USERS))
    for place, user in enumerate(users):
        of_user = {ids[row].decode() for row in found.take(np.array([place])).values}
        assert of_user == {f"i{item}" for item in course(user)[:2]}
    assert not len(earlier_items(encoder, chain(blocks), 6).values)


def test_only_so_many_events_are_looked_at(small_dataset: DatasetLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.export.earlier_items.MOST_EARLIER_EVENTS", 1)
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    rows = load_catalogue(small_dataset, encoder).rows()
    events = load_events(small_dataset.interactions("test"), encoder, rows, records="retrieval")
    found = earlier_items(encoder, [events], 4)
    assert found.lengths.tolist() == [1] * NUM_USERS


def test_users_have_them_by_rows_of_the_index() -> None:
    """The known catalogue is a, b, c; the index holds c, x and a, and lacks b."""
    items = Ragged.from_lengths(np.array([2, 0, 1]), np.array([0, 1, 2]))
    earlier = EarlierItems(items, 2, [b"a", b"b", b"c"], ItemIds([b"c", b"x", b"a"]))
    users = tf.constant([2, 3, 4, 1, 0])  # the three known ones, an unknown one and none
    np.testing.assert_array_equal(earlier(users), [[2], [-1], [0], [-1], [-1]])


def test_nobody_may_have_any() -> None:
    earlier = EarlierItems(Ragged.from_lengths(np.zeros(2, int), np.zeros(0, int)), 2, [b"a"], ItemIds([b"a"]))
    assert earlier(tf.constant([0, 2, 3])).shape == (3, 0)
