"""Reads the TFRecords of a dataset as batches of raw tensors; `features.records.contents` lists the keys."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from features.disk.shards import shards, total_of
from features.errors import MEND_DATASET, InputError
from features.records.contents import (
    ITEM_EVENTS,
    NUM_CONTEXT,
    TRAIN_FREQUENCY,
    RecordKind,
    event_columns,
    user_columns,
)
from features.schema import Schema
from features.spec.base import RawType, missing_value_of


def interaction_parsing_spec(schema: Schema, *, records: RecordKind) -> dict[str, Any]:
    """Argument of `tf.io.parse_example` for interaction records: values of the user, ragged lists for the events."""
    lists = {feature.name for feature in schema.user_features if feature.is_list}
    spec: dict[str, Any] = {name: _value(dtype, name in lists) for name, dtype in user_columns(schema).items()}
    spec[NUM_CONTEXT] = tf.io.FixedLenFeature([], tf.int64)
    for name, dtype in event_columns(schema, records=records).items():
        spec[name] = _value(dtype, is_a_list=True)
    return spec


def _value(dtype: RawType, is_a_list: bool) -> Any:
    if is_a_list:
        return tf.io.RaggedFeature(tf.dtypes.as_dtype(dtype), row_splits_dtype=tf.int64)
    return tf.io.FixedLenFeature([], dtype, default_value=missing_value_of(dtype))


def candidate_parsing_spec(schema: Schema) -> dict[str, Any]:
    """Argument of `tf.io.parse_example` for candidate records."""
    spec: dict[str, Any] = {TRAIN_FREQUENCY: tf.io.FixedLenFeature([], tf.int64)}
    if schema.item_events:
        spec[ITEM_EVENTS] = tf.io.FixedLenFeature([], tf.int64)
    return spec | {feature.name: _value(feature.raw_type, feature.is_list) for feature in schema.candidate}


def shard_files(directory: Path) -> list[Path]:
    """The shards of a directory that holds all of them.

    Raises:
        InputError: Shards are missing.
    """
    files = shards(directory)
    if not files:
        raise InputError(f"{directory}: no TFRecord shards found; {MEND_DATASET}")
    if len(files) != (total := total_of(files[0])):
        raise InputError(f"{directory}: {total} TFRecord shards expected, {len(files)} found; {MEND_DATASET}")
    return files


def read_records(directory: Path, spec: dict[str, Any], batch_size: int) -> tf.data.Dataset:
    """Batches of parsed records, in the order of the shards. Iterate over it inside `with reading(directory)`.

    Args:
        directory: Directory of the shards.
        spec: Result of one of the functions above.
        batch_size: Records per batch; the last batch may be smaller.

    Raises:
        InputError: Shards are missing.
    """
    return parse_shards(shard_files(directory), spec, batch_size)


def parse_shards(files: Sequence[Path], spec: dict[str, Any], batch_size: int) -> tf.data.Dataset:
    """What `read_records` gives, of some shards of a directory."""
    records = tf.data.TFRecordDataset([str(file) for file in files], compression_type="GZIP")
    batches = records.batch(batch_size)
    parse = tf.autograph.experimental.do_not_convert(lambda serialized: tf.io.parse_example(serialized, spec))
    return batches.map(parse, num_parallel_calls=tf.data.AUTOTUNE)


@contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Turns TensorFlow's errors about damaged records into one line while the block reads them.

    Raises:
        InputError: A shard is damaged.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        reason = (error.message.partition("}} ")[2] or error.message).partition(" [Op:")[0].splitlines()[0]
        raise InputError(f"{directory}: a shard cannot be read ({reason}); {MEND_DATASET}") from error
