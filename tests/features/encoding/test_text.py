"""Texts against plain Python."""

import re

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from features.encoding.lookup import HashBuckets
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.text import tokenize
from features.schema import Schema
from features.spec.base import Feature


def title_of(schema: Schema) -> Feature:
    return next(feature for feature in schema.candidate if feature.name == "title")


def test_tokens_are_lower_case_words_of_any_script() -> None:
    words = tokenize(tf.constant(["Héllo, WÖRLD (1995) 東京!", "", " -- "])).to_list()
    assert [[w.decode() for w in row if w] for row in words] == [["héllo", "wörld", "1995", "東京"], [], []]


@given(st.text("abXY01 .,-'\n", max_size=20))
def test_a_text_is_the_bag_of_its_first_words_by_hash(encoder: SchemaEncoder, schema: Schema, text: str) -> None:
    words = re.findall("[a-z0-9]+", text.lower())[:4]  # `max_tokens` of the title
    padded = words + [""] * (4 - len(words))
    expected = HashBuckets(64)(tf.constant(padded)).numpy().tolist()
    assert encoder.encode(title_of(schema), tf.constant([text])).numpy().tolist() == [expected]


def test_text_that_is_not_utf8_is_not_an_error(encoder: SchemaEncoder, schema: Schema) -> None:
    encoded = encoder.encode(title_of(schema), tf.constant([b"caf\xe9 noir", b"\xff\xfe", b""])).numpy()
    assert encoded.shape == (3, 4)
    assert (encoded[2] == 0).all()
