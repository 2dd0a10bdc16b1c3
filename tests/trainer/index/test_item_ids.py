import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from trainer.index import item_ids
from trainer.index.item_ids import ItemIds, StringLookup

ANY_BYTES = st.binary(max_size=6)


@settings(max_examples=30, deadline=None)
@given(known=st.lists(ANY_BYTES, unique=True, max_size=20), asked=st.lists(ANY_BYTES, max_size=20))
def test_numbers_equal_a_python_dictionary(known, asked):
    numbers = {value: number for number, value in enumerate(known)}
    asked = [*asked, *known]
    found = StringLookup(known).numbers(tf.constant(asked, tf.string, [len(asked)]))
    assert found.numpy().tolist() == [numbers.get(value, -1) for value in asked]


def test_numbers_keep_the_shape():
    lookup = StringLookup([b"a", b"b"])
    assert lookup.numbers(tf.constant([[b"b", b"x"], [b"", b"a"]])).numpy().tolist() == [[1, -1], [-1, 0]]
    assert lookup.numbers(tf.zeros([3, 0], tf.string)).shape == (3, 0)


def test_a_collision_of_fingerprints_is_resolved_by_another_salt(monkeypatch):
    # With 50 fingerprints for 8 values about every second salt collides.
    monkeypatch.setattr(item_ids, "NUM_FINGERPRINTS", 50)
    values = [f"{number}".encode() for number in range(8)]
    lookup = StringLookup(values)
    assert lookup.numbers(tf.constant([*values, b"unknown"])).numpy().tolist() == [*range(8), -1]


def test_ids_of_rows():
    ids = ItemIds(["ä".encode(), b"b"])
    assert ids.ids(tf.constant([[1, -1, 0]])).numpy().tolist() == [[b"b", b"", "ä".encode()]]


@pytest.mark.parametrize(("ids", "problem"), [([b"a", b"b", b"a"], "1 repetitions"), ([b"a", b""], "row 1")])
def test_ids_that_cannot_be_told_apart_are_refused(ids, problem):
    with pytest.raises(InputError, match=problem):
        ItemIds(ids)


def test_lookup_of_many_values_agrees_with_their_order():
    values = [f"item-{number}".encode() for number in range(20_000)]
    asked = np.random.default_rng(0).permutation(20_000)[:500]
    found = StringLookup(values).numbers(tf.constant([values[number] for number in asked]))
    assert found.numpy().tolist() == asked.tolist()
