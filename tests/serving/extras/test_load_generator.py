"""The load generator against a real server; how fast it is decides nothing."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from features.errors import InputError
from serving.extras.load_generator import Outcome, closed_loop, open_loop, recorded_requests


@pytest.fixture(scope="module")
def records(tiny, tmp_path_factory):
    """A file with one request for each of two signatures."""
    path = tmp_path_factory.mktemp("records") / "requests"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in (tiny.request("other", x=np.ones(2, np.float32)), tiny.request("other", "text", s=[b"a"])):
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())
    return path


def test_recorded_requests_go_to_the_model_that_is_asked_for(tiny, records):
    (request,) = recorded_requests(records, "tiny", "text")
    assert type(tiny.request()).FromString(request) == tiny.request("tiny", "text", s=[b"a"])
    with pytest.raises(InputError, match="no request for signature 'nope'; it has some for serving_default, text"):
        recorded_requests(records, "tiny", "nope")


def test_a_closed_loop_counts_answers_and_errors(tiny, records):
    good = recorded_requests(records, "tiny", "serving_default")
    bad = recorded_requests(records, "nobody", "serving_default")
    outcome = closed_loop(tiny.address, good + bad, connections=2, seconds=0.2)
    assert set(outcome.errors) == {"NOT_FOUND"}
    assert len(outcome.milliseconds) > 0
    assert abs(len(outcome.milliseconds) - outcome.errors["NOT_FOUND"]) <= 2
    assert outcome.seconds >= 0.2


def test_an_open_loop_sends_what_is_due(tiny, records):
    requests = recorded_requests(records, "tiny", "serving_default")
    outcome = open_loop(tiny.address, requests, rate=100, seconds=0.2)
    assert (len(outcome.milliseconds), outcome.errors) == (20, Counter())


def test_percentiles():
    outcome = Outcome(seconds=2.0, milliseconds=np.arange(101.0), errors=Counter())
    assert (outcome.answers_per_second, outcome.percentile(50), outcome.percentile(99)) == (50.5, 50.0, 99.0)
    assert np.isnan(Outcome(seconds=1.0, milliseconds=np.array([]), errors=Counter()).percentile(50))
