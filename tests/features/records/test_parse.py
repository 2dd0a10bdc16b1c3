"""Records written by TensorFlow itself, read by `features.records.parse`."""

import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.shards import shard_name
from features.errors import InputError
from features.records.parse import candidate_parsing_spec, interaction_parsing_spec, read_records
from features.schema import Schema


def feature(*values: object) -> tf.train.Feature:
    if values and isinstance(values[0], str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[str(v).encode() for v in values]))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def write(path: Path, *records: dict[str, tf.train.Feature]) -> None:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(tf.train.Example(features=tf.train.Features(feature=record)).SerializeToString())


def test_interactions_come_back_as_ragged_lists(schema: Schema, tmp_path: Path) -> None:
    def record(user: str, items: list[str]) -> dict[str, tf.train.Feature]:
        n = len(items)
        return {
            "user_id": feature(user), "num_context": feature(n - 1), "item_id": feature(*items),
            "timestamp": feature(*range(10, 10 + n)), "device": feature(*["tv"] * n), "label": feature(*[1.0] * n),
            "weight": feature(*[2.0] * n), "in_history": feature(*[1] * n),
        }  # fmt: skip

    write(tmp_path / shard_name(0, 2), record("u0", ["i0", "i1"]))
    write(tmp_path / shard_name(1, 2), record("u1", ["i2"]))
    (batch,) = read_records(tmp_path, interaction_parsing_spec(schema, records="retrieval"), batch_size=8)
    assert batch["user_id"].numpy().tolist() == [b"u0", b"u1"]
    assert batch["item_id"].to_list() == [[b"i0", b"i1"], [b"i2"]]
    assert batch["timestamp"].to_list() == [[10, 11], [10]]
    assert batch["num_context"].numpy().tolist() == [1, 0]
    assert "sampling_probability" in interaction_parsing_spec(schema, records="ranking")


def test_absent_candidate_features_are_missing_values(schema: Schema, tmp_path: Path) -> None:
    write(tmp_path / shard_name(0, 1), {"item_id": feature("i0"), "train_frequency": feature(7)})
    (batch,) = read_records(tmp_path, candidate_parsing_spec(schema), batch_size=8)
    assert batch["train_frequency"].numpy().tolist() == [7]
    assert batch["brand"].numpy().tolist() == [b""]
    assert math.isnan(float(np.asarray(batch["price"])[0]))
    assert batch["genres"].to_list() == [[]]


def test_directory_without_shards_names_the_command(schema: Schema, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recstack prepare"):
        read_records(tmp_path, candidate_parsing_spec(schema), batch_size=8)
