"""Indices of strings, by vocabulary and by hash: ids, categories."""

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from features.encoding.lookup import HashBuckets
from features.encoding.schema_encoder import SchemaEncoder
from features.schema import Schema

USERS = ("u0", "u1", "u2")
FIRST_USER = 3  # after the missing value and two buckets
strings = st.one_of(st.sampled_from(["", *USERS]), st.text(max_size=8))


@given(st.lists(strings, min_size=1, max_size=10))
def test_ids_have_a_row_each_unknown_ones_a_bucket_and_missing_ones_row_zero(
    encoder: SchemaEncoder, schema: Schema, values: list[str]
) -> None:
    user_id = next(feature for feature in schema.query if feature.name == "user_id")
    raw = [value.encode("utf-8", "ignore") for value in values]
    for value, index in zip(raw, encoder.encode(user_id, tf.constant(raw)).numpy(), strict=True):
        if value.decode() in USERS:
            assert index == FIRST_USER + USERS.index(value.decode())
        else:
            assert index == 0 if value == b"" else index in (1, 2)


def test_unknown_ids_spread_over_the_buckets(encoder: SchemaEncoder) -> None:
    strangers = tf.constant([f"stranger {n}" for n in range(50)])
    assert set(encoder.lookup("user_id")(strangers).numpy()) == {1, 2}


@given(st.lists(strings, min_size=1, max_size=10), st.integers(1, 20))
def test_hashed_strings_have_a_bucket_that_depends_on_nothing_else(values: list[str], num_buckets: int) -> None:
    raw = [value.encode("utf-8", "ignore") for value in values]
    buckets = HashBuckets(num_buckets)
    together = buckets(tf.constant(raw)).numpy().tolist()
    assert together == [buckets(tf.constant(value)).numpy() for value in raw]
    for value, index in zip(raw, together, strict=True):
        assert index == 0 if value == b"" else 1 <= index < buckets.num_indices


def test_hashed_strings_spread_over_all_buckets() -> None:
    assert set(HashBuckets(4)(tf.constant([f"value {n}" for n in range(100)])).numpy()) == {1, 2, 3, 4}
