"""TFRecords of a dataset as batches of raw tensors. The keys and their meaning are in `features.records`."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from features.errors import InputError
from features.layout import shards
from features.records import NUM_CONTEXT, TRAIN_FREQUENCY, event_columns, user_columns
from features.schema import Schema
from features.spec import is_list, missing_value_of, raw_type


def interaction_parsing_spec(schema: Schema, *, ranking: bool) -> dict[str, Any]:
    """Argument of `tf.io.parse_example` for interaction records: scalars for the user, ragged lists for the events."""
    spec: dict[str, Any] = {
        name: tf.io.FixedLenFeature([], dtype, default_value=missing_value_of(dtype))
        for name, dtype in user_columns(schema).items()
    }
    spec[NUM_CONTEXT] = tf.io.FixedLenFeature([], tf.int64)
    for name, dtype in event_columns(schema, ranking=ranking).items():
        spec[name] = tf.io.RaggedFeature(tf.dtypes.as_dtype(dtype), row_splits_dtype=tf.int64)
    return spec


def candidate_parsing_spec(schema: Schema) -> dict[str, Any]:
    """Argument of `tf.io.parse_example` for candidate records."""
    spec: dict[str, Any] = {TRAIN_FREQUENCY: tf.io.FixedLenFeature([], tf.int64)}
    for feature in schema.candidate:
        dtype = raw_type(feature)
        spec[feature.name] = (
            tf.io.RaggedFeature(tf.dtypes.as_dtype(dtype), row_splits_dtype=tf.int64)
            if is_list(feature)
            else tf.io.FixedLenFeature([], dtype, default_value=missing_value_of(dtype))
        )
    return spec


def read_records(directory: Path, spec: dict[str, Any], batch_size: int) -> tf.data.Dataset:
    """Batches of parsed records, in the order of the shards.

    Args:
        directory: holds the shards.
        spec: from one of the functions above.
        batch_size: records a batch; the last batch may be smaller.

    Raises:
        InputError: the directory holds no shard.
    """
    files = shards(directory)
    if not files:
        raise InputError(f"{directory}: no TFRecord shards found; run `recstack prepare`")
    records = tf.data.TFRecordDataset([str(file) for file in files], compression_type="GZIP")
    batches = records.batch(batch_size)
    return batches.map(lambda serialized: tf.io.parse_example(serialized, spec), num_parallel_calls=tf.data.AUTOTUNE)
