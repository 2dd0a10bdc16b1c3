"""TFRecord files read without TensorFlow, against the files that TensorFlow writes."""

import pytest
import tensorflow as tf

from features.errors import InputError
from features.records.tfrecords import read_tfrecords

RECORDS = [b"", b"a", bytes(range(256)) * 100]


@pytest.fixture(params=["", ".gz"], ids=["plain", "gzip"])
def file(tmp_path, request):
    path = tmp_path / f"records{request.param}"
    with tf.io.TFRecordWriter(str(path), "GZIP" if request.param else None) as writer:
        for record in RECORDS:
            writer.write(record)
    return path


def test_records_are_those_that_were_written(file):
    assert list(read_tfrecords(file)) == RECORDS


@pytest.mark.parametrize("cut", [1, 5, 13 + 16])
def test_a_file_that_is_cut_off_is_named(file, cut):
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(InputError, match=f"{file}: not a TFRecord file, or truncated"):
        list(read_tfrecords(file))


def test_a_file_that_is_something_else_or_not_there(tmp_path):
    for name in ("text", "text.gz"):
        (tmp_path / name).write_text("these are no records, just text")
    for name in ("text", "text.gz", "nowhere", "nowhere.gz"):
        with pytest.raises(InputError, match=name):
            list(read_tfrecords(tmp_path / name))
