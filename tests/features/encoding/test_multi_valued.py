"""Several values at once against plain Python."""

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from features.encoding.schema_encoder import SchemaEncoder
from features.schema import Schema

INDEX = {"": 0, "opera": 1, "drama": 2, "war": 3}  # `opera` is outside the vocabulary


@given(st.lists(st.lists(st.sampled_from(sorted(INDEX)), max_size=6), min_size=1, max_size=4))
def test_a_list_is_the_bag_of_its_first_values(encoder: SchemaEncoder, schema: Schema, rows: list[list[str]]) -> None:
    genres = next(feature for feature in schema.candidate if feature.name == "genres")
    ragged = tf.ragged.constant(rows, dtype=tf.string, ragged_rank=1)
    expected = []
    for row in rows:
        kept = [INDEX[value] for value in row if value][:3]  # `max_values` of the genres
        expected.append(kept + [0] * (3 - len(kept)))
    assert encoder.encode(genres, ragged).numpy().tolist() == expected
    assert encoder.encode(genres, ragged.to_tensor()).numpy().tolist() == expected
