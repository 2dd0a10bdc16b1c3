"""Indices of strings, by vocabulary and by hash: ids, categories."""

from pathlib import Path

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from features.disk.layout import DatasetLayout
from features.encoding.lookup import HashBuckets, VocabularyLookup
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.vocabulary import Vocabulary
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


def test_an_id_that_is_forgotten_falls_into_the_bucket_that_it_would_have_as_an_unknown_one(
    encoder: SchemaEncoder,
) -> None:
    lookup, strangers = encoder.lookup("user_id"), tf.constant([f"stranger {n}" for n in range(50)])
    assert lookup.unknown(strangers).numpy().tolist() == lookup(strangers).numpy().tolist()
    assert set(lookup.unknown(tf.constant(USERS)).numpy()) <= {1, 2}


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


def test_a_vocabulary_that_replaced_another_one_is_looked_up(tmp_path: Path) -> None:
    layout = DatasetLayout(tmp_path)
    layout.vocabulary("letter").parent.mkdir()
    for tokens in (("a", "b", "c"), ("c", "b", "a"), ("c",), ("c", "d", "e")):
        Vocabulary(tokens).write(layout.vocabulary("letter"))
        # A second lookup of the same content meets the table of the first one.
        for lookup in (VocabularyLookup(layout, "letter", 1), VocabularyLookup(layout, "letter", 1)):
            assert lookup(tf.constant(tokens)).numpy().tolist() == [2 + place for place in range(len(tokens))]


def test_features_with_the_same_vocabulary_survive_a_saved_model(tmp_path: Path) -> None:
    layout = DatasetLayout(tmp_path / "dataset")
    module = tf.Module()
    module.lookups = []
    layout.vocabulary("sent_to").parent.mkdir(parents=True)
    for name in ("sent_to", "sent_from"):
        Vocabulary(("de", "fr")).write(layout.vocabulary(name))
        module.lookups.append(VocabularyLookup(layout, name, 1))
    countries = tf.constant(["fr", "de", "", "it"])
    signature = tf.TensorSpec([None], tf.string)
    module.encode = tf.function(lambda values: [lookup(values) for lookup in module.lookups], [signature])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    for encoded in tf.saved_model.load(str(tmp_path / "saved")).encode(countries):
        assert encoded.numpy().tolist() == [3, 2, 0, 1]
