import gzip
import struct
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.records.write import encode_examples, frame_records, write_shard

_INT64 = st.integers(-(2**63), 2**63 - 1)
_FLOAT32 = st.floats(width=32, allow_nan=True, allow_infinity=True)
_TYPES = {
    pa.string(): st.text(max_size=200),
    pa.large_string(): st.text(max_size=5),
    pa.binary(): st.binary(max_size=300),
    pa.int64(): _INT64,
    pa.float32(): _FLOAT32,
    pa.list_(pa.string()): st.lists(st.text(max_size=4), max_size=5),
    pa.list_(pa.dictionary(pa.int32(), pa.string())): st.lists(st.sampled_from(["", "a", "ab"]), max_size=5),
    pa.large_list(pa.int64()): st.lists(_INT64, max_size=40),
    pa.list_(pa.float32()): st.lists(_FLOAT32, max_size=40),
}


@st.composite
def batches(draw: st.DrawFn) -> pa.RecordBatch:
    rows = draw(st.integers(0, 4))
    names = draw(st.lists(st.text(min_size=1, max_size=150), min_size=1, max_size=4, unique=True))
    arrays = []
    for _ in names:
        kind = draw(st.sampled_from(list(_TYPES)))
        arrays.append(pa.array([draw(_TYPES[kind]) for _ in range(rows)], kind))
    return pa.RecordBatch.from_arrays(arrays, names)


def tensorflow_example(batch: pa.RecordBatch, row: int) -> bytes:
    import tensorflow as tf

    example = tf.train.Example()
    for name in batch.schema.names:
        column = batch.column(name)
        feature = example.features.feature[name]
        kind = column.type.value_type if hasattr(column.type, "value_type") else column.type
        value = column[row].as_py()
        values = value if isinstance(value, list) else [value]
        if pa.types.is_int64(kind):
            feature.int64_list.value.extend(values)
        elif pa.types.is_float32(kind):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(v.encode() if isinstance(v, str) else v for v in values)
    return example.SerializeToString(deterministic=True)


@settings(deadline=None)
@given(batches(), st.integers(0, 3))
def test_examples_are_what_tensorflow_writes(batch: pa.RecordBatch, start: int) -> None:
    batch = batch.slice(start)
    expected = [tensorflow_example(batch, row) for row in range(batch.num_rows)]
    encoded = encode_examples(batch).to_pylist()
    assert [in_canonical_order(data) for data in encoded] == expected
    assert [len(data) for data in encoded] == [len(data) for data in expected]


def in_canonical_order(data: bytes) -> bytes:
    """The message with its features in protobuf's own order, which the encoder need not keep."""
    import tensorflow as tf

    return tf.train.Example.FromString(data).SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None]),
        pa.array([[1], None], pa.list_(pa.int64())),
        pa.array([["a", None], []], pa.list_(pa.string())),
        pa.array([1, 2], pa.int32()),
        pa.array([[1.0], []], pa.list_(pa.float64())),
    ],
)
def test_nulls_and_other_types_are_refused_by_name(column: pa.Array) -> None:
    with pytest.raises(ValueError, match="'price'"):
        encode_examples(pa.RecordBatch.from_arrays([column], ["price"]))


def unframe(data: bytes) -> list[bytes]:
    records = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        records.append(data[12 : 12 + length])
        data = data[16 + length :]
    return records


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_frames_hold_the_records_and_their_masked_checksums(records: list[bytes]) -> None:
    data = frame_records(pa.array(records, pa.large_binary()))
    assert unframe(data) == records
    if records:
        crc = google_crc32c.value(records[-1])
        rotated = ((crc >> 15) | (crc << 17)) & 0xFFFFFFFF
        assert struct.unpack("<I", data[-4:])[0] == (rotated + 0xA282EAD8) % 2**32


def batch_of(values: list[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values, pa.int64())], ["x"])


def test_tensorflow_reads_the_shard(tmp_path: Path) -> None:
    import tensorflow as tf

    path = tmp_path / "part-00000-of-00001.tfrecord.gz"
    values = np.random.default_rng(0).integers(-(2**62), 2**62, 1000)
    written = write_shard(path, [batch_of(list(values[:400])), batch_of(list(values[400:]))], 1)
    dataset = tf.data.TFRecordDataset(str(path), compression_type="GZIP").batch(2000)
    parsed = tf.io.parse_example(next(iter(dataset)), {"x": tf.io.FixedLenFeature([], tf.int64)})
    assert written == 1000
    np.testing.assert_array_equal(parsed["x"].numpy(), values)


@pytest.mark.parametrize("level", [1, 3, 4, 9])
def test_equal_batches_give_equal_records(tmp_path: Path, level: int) -> None:
    for name in ("a", "b"):
        write_shard(tmp_path / name, [batch_of([1, 2, 3])], level)
    first, second = (gzip.decompress((tmp_path / name).read_bytes()) for name in ("a", "b"))
    assert first == second
    assert len(unframe(first)) == 3


def test_a_failed_attempt_leaves_no_file(tmp_path: Path) -> None:
    refused = pa.RecordBatch.from_arrays([pa.array([None], pa.int64())], ["x"])
    with pytest.raises(ValueError, match="null"):
        write_shard(tmp_path / "shard", [batch_of([1]), refused], 1)
    assert list(tmp_path.iterdir()) == []
