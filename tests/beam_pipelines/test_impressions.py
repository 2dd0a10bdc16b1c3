"""A request log in, a table out: written here by TensorFlow's own messages, read without them."""

import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from beam_pipelines.impressions import read_impressions, write_impressions
from features.errors import InputError
from recstack.__main__ import main


def log_of(inputs, outputs, version=3):
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.timestamp_secs = 1000 + version
    log.log_metadata.sampling_config.sampling_rate = 0.5
    for proto, values in ((log.predict_log.request.inputs, inputs), (log.predict_log.response.outputs, outputs)):
        for alias, value in values.items():
            proto[alias].CopyFrom(tf.make_tensor_proto(value))
    spec = log.predict_log.response.model_spec
    spec.name, spec.version.value, spec.signature_name = "retrieval", version, "retrieve"
    return log.SerializeToString()


def write(path, *records):
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return path


TWO_USERS = log_of(
    {"user_id": ["ä", "v"], "history": [["1", "2"], ["3", ""]], "year_min": np.array([1990], np.float32), "k": 2},
    {"item_ids": [["7", "8"], ["9", ""]], "scores": np.array([[0.5, 0.25], [1.5, -np.inf]], np.float32)},
)
ONE_USER = log_of({"user_id": ["w"]}, {"item_ids": [["7"]], "scores": np.array([[2.0]], np.float32)}, version=4)
RANKING = log_of({"user_id": ["w"], "item_ids": [["7"]]}, {"label": np.array([[2.0]], np.float32)})


def test_one_row_an_answered_item(tmp_path):
    table = read_impressions(write(tmp_path / "f", TWO_USERS, RANKING, ONE_USER))
    columns = table.to_pydict()
    assert columns["user_id"] == ["ä", "ä", "v", "w"]
    assert columns["item_id"] == ["7", "8", "9", "7"]
    assert columns["rank"] == [1, 2, 1, 1]
    assert columns["score"] == [0.5, 0.25, 1.5, 2.0]
    assert columns["history"] == [["1", "2"], ["1", "2"], ["3", ""], None]
    assert columns["year_min"] == [1990.0] * 3 + [None]
    assert columns["version"] == [3, 3, 3, 4]
    assert columns["timestamp"] == [1003, 1003, 1003, 1004]
    assert set(columns["model"]) == {"retrieval"}
    assert set(columns["signature"]) == {"retrieve"}
    assert set(columns["sampling_rate"]) == {0.5}
    assert "k" not in columns


def test_finished_files_are_written_once(tmp_path):
    log, output = tmp_path / "log", tmp_path / "output"
    write(log / "requests-1.tfrecord", TWO_USERS)
    write(log / ".requests-2.tfrecord", ONE_USER)
    (first,), rows = write_impressions(log, output)
    assert (first.name, rows) == ("requests-1.parquet", 3)
    (log / ".requests-2.tfrecord").rename(log / "requests-2.tfrecord")
    (second,), rows = write_impressions(log, output)
    assert (second.name, rows) == ("requests-2.parquet", 1)
    assert pq.read_table(second).to_pydict()["user_id"] == ["w"]
    assert write_impressions(log, output) == ([], 0)


def test_the_verb_says_what_it_wrote(tmp_path, capsys):
    write(tmp_path / "log" / "requests-1.tfrecord", ONE_USER)
    assert main(["impressions", "--log", str(tmp_path / "log"), "--output", str(tmp_path / "out")]) == 0
    assert "1 answered items in 1 new files" in capsys.readouterr().out


def test_bad_logs_are_named(tmp_path):
    with pytest.raises(InputError, match="--request_log_directory"):
        write_impressions(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "requests-1.tfrecord").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"requests-1\.tfrecord: not a TFRecord file"):
        write_impressions(tmp_path / "log", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_no_tensorflow_is_needed():
    code = "import sys, beam_pipelines.impressions; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
