"""TFRecord files read without TensorFlow, against the files that TensorFlow writes."""

import pytest
import tensorflow as tf

from features.errors import InputError
from features.records.tfrecords import read_tfrecords

RECORDS = [b"", b"a", bytes(range(256)) * 100]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in RECORDS:
            writer.write(record)
    return path


def test_records_are_those_that_were_written(file):
    assert list(read_tfrecords(file)) == RECORDS


@pytest.mark.parametrize("cut", [1, 5, 13 + 16 + 16])
def test_a_file_that_is_cut_off_is_named(file, cut):
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(InputError, match=f"{file}: not a TFRecord file, or truncated"):
        list(read_tfrecords(file))


def test_a_file_that_is_something_else_or_not_there(tmp_path):
    (tmp_path / "text").write_text("these are no records, just text")
    for name in ("text", "nowhere"):
        with pytest.raises(InputError, match=name):
            list(read_tfrecords(tmp_path / name))
