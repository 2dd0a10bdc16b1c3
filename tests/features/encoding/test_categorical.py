"""Categories, by vocabulary and by hash."""

import pytest
import tensorflow as tf

from features.encoding.lookup import HashBuckets
from features.encoding.schema_encoder import SchemaEncoder
from features.schema import Schema


def test_known_categories_follow_the_bucket_of_unknown_ones(encoder: SchemaEncoder, schema: Schema) -> None:
    brand = next(feature for feature in schema.candidate if feature.name == "brand")
    assert encoder.encode(brand, tf.constant(["", "nobody", "acme", "büro"])).numpy().tolist() == [0, 1, 2, 3]
    assert encoder.encoded(brand).num_indices == 4


@pytest.mark.parametrize("value", ["", "phone", "tv", "ünï"])
def test_hashed_categories_are_looked_up_nowhere(encoder: SchemaEncoder, schema: Schema, value: str) -> None:
    device = next(feature for feature in schema.query if feature.name == "device")
    assert encoder.encode(device, tf.constant([value])).numpy() == HashBuckets(8)(tf.constant(value)).numpy()
    assert encoder.encoded(device).num_indices == 9
    with pytest.raises(KeyError):
        encoder.lookup("device")
