"""What recstack adds to the real server, by flags of its own: keys, limits, logs, shadow traffic."""

import gzip
import json
import shutil
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow_serving.apis import prediction_log_pb2

from features.errors import ConfigError
from serving.api.call import Call
from serving.api.grpc import peer_address
from serving.client import CallError, RecommenderClient
from serving.config import ServerConfig
from serving.errors import Code, ServingError
from serving.extras.admission import Admission
from serving.extras.shadow import overlap
from serving.metrics import Counter, Histogram
from serving.models.servable import Servable
from tests.serving.conftest import PATIENCE


@pytest.fixture
def flags(tiny_model):
    return {"model_name": "tiny", "model_base_path": str(tiny_model)}


def call_from(peer="a", key=""):
    return Call("GRPC", None, lambda: peer, lambda: key)


def test_api_keys_at_both_doors(start_server, flags, free_port, tmp_path, x):
    keys = tmp_path / "keys"
    keys.write_text("# the application's\nsecret\n")
    client = start_server(**flags, rest_api_port=free_port, api_keys_file=str(keys))
    client.refused(client.prediction.Predict, client.request(x=x), StatusCode.UNAUTHENTICATED)
    with RecommenderClient(
        client.address, model="tiny", timeout_seconds=PATIENCE, metadata={"x-api-key": "secret"}
    ) as known:
        assert known.predict({"x": x})["y"].tolist() == [2.5, 3.0, 4.5]
    with (
        RecommenderClient(
            client.address, model="tiny", timeout_seconds=PATIENCE, metadata={"x-api-key": "guess"}
        ) as stranger,
        pytest.raises(CallError, match="UNAUTHENTICATED"),
    ):
        stranger.status()
    url = f"http://127.0.0.1:{free_port}/v1/models/tiny"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"X-API-Key": "secret"}).status_code == 200


def test_a_keys_file_without_keys_is_refused(tmp_path):
    (tmp_path / "keys").write_text("# none\n")
    for path in (tmp_path / "keys", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="api_keys_file"):
            Admission(ServerConfig(api_keys_file=str(path)))


def test_a_client_over_its_rate_is_refused_and_others_are_not(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("serving.extras.admission.time.monotonic", lambda: clock[0])
    admission = Admission(ServerConfig(max_requests_per_second_per_client=2.0))

    def enter(peer):
        with admission.enter(call_from(peer)):
            pass

    enter("a")
    enter("a")
    with pytest.raises(ServingError, match="limit of 2 requests per second") as caught:
        enter("a")
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    enter("b")
    clock[0] += 0.5
    enter("a")
    with pytest.raises(ServingError):
        enter("a")


def test_as_many_calls_at_a_time_as_allowed():
    admission = Admission(ServerConfig(max_concurrent_requests=2))
    with (
        admission.enter(call_from()),
        admission.enter(call_from()),
        pytest.raises(ServingError, match="limit of concurrent requests"),
    ):
        admission.enter(call_from())
    with admission.enter(call_from()):
        pass


def test_a_call_too_many_at_a_time_is_refused_by_the_server(start_server, flags, x, monkeypatch):
    client = start_server(**flags, max_concurrent_requests=1)
    is_running, may_end = threading.Event(), threading.Event()
    run = Servable.run

    def held_back(*given):
        is_running.set()
        may_end.wait(PATIENCE)
        return run(*given)

    monkeypatch.setattr(Servable, "run", held_back)
    running = client.prediction.Predict.future(client.request(x=x), timeout=PATIENCE)
    assert is_running.wait(PATIENCE)
    client.refused(client.prediction.Predict, client.request(x=x), StatusCode.RESOURCE_EXHAUSTED)
    may_end.set()
    assert list(running.result().outputs["y"].float_val) == list(x / 2 + 2)


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:10.0.0.1:4711", "ipv4:10.0.0.1"), ("ipv6:%5B::1%5D:4711", "ipv6:%5B::1%5D"), ("unix:/s", "unix:/s")],
)
def test_a_clients_address_has_no_port(peer, address):
    assert peer_address(peer) == address


def test_request_size_at_both_doors(start_server, flags, free_port):
    client = start_server(**flags, rest_api_port=free_port, max_request_bytes=1000)
    large = np.arange(1000, dtype=np.float32)
    client.refused(client.prediction.Predict, client.request(x=large), StatusCode.RESOURCE_EXHAUSTED)
    url = f"http://127.0.0.1:{free_port}/v1/models/tiny:predict"
    assert httpx.post(url, json={"inputs": [1.0]}).status_code == 200
    assert httpx.post(url, json={"inputs": [1.0] * 1000}).status_code == 429
    small_bomb = gzip.compress(b'{"inputs": [' + b" " * 100_000 + b"1.0]}")
    assert len(small_bomb) < 1000
    assert httpx.post(url, content=small_bomb, headers={"content-encoding": "gzip"}).status_code == 429


def test_access_log(start_server, flags, tmp_path, x):
    path = tmp_path / "access.log"
    client = start_server(**flags, access_log_file=str(path))
    client.predict(x=x)
    client.refused(client.prediction.Predict, client.request(signature="nope", x=x), StatusCode.FAILED_PRECONDITION)
    client.wait_until(lambda: path.read_text().count("\n") == 2)
    good, bad = map(json.loads, path.read_text().splitlines())
    assert (good["entrypoint"], good["rpc"], good["model"], good["status"]) == ("GRPC", "Predict", "tiny", "OK")
    assert (good["version"], good["signature"]) == (1, "serving_default")
    assert good["client"].startswith("ipv4:127.0.0.1")
    assert good["request_bytes"] == client.request(x=x).ByteSize()
    assert bad["status"] == "FAILED_PRECONDITION"
    assert "nope" in bad["error"]


@pytest.mark.parametrize("flag", ["access_log_file", "request_log_directory"])
def test_a_log_that_cannot_be_written_is_refused_at_the_start(start_server, flags, tmp_path, flag):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=flag):
        start_server(**flags, **{flag: str(tmp_path / "file" / "below")})


def logged(directory: Path):
    files = sorted(directory.glob("requests-*.tfrecord"))
    records = tf.data.TFRecordDataset([str(file) for file in files]).as_numpy_iterator() if files else []
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def test_request_log_holds_requests_and_replies(start_server, flags, tmp_path, x):
    client = start_server(**flags, request_log_directory=str(tmp_path / "log"), request_log_file_seconds=0.1)
    client.predict(x=x)
    client.predict(x=2 * x)
    client.refused(client.prediction.Predict, client.request(signature="nope"), StatusCode.FAILED_PRECONDITION)
    client.wait_until(lambda: len(logged(tmp_path / "log")) == 2)
    first, second = sorted(logged(tmp_path / "log"), key=lambda log: log.predict_log.response.outputs["y"].float_val[0])
    assert first.predict_log.request == client.request(x=x)
    assert list(second.predict_log.response.outputs["y"].float_val) == list(x + 2)
    assert first.log_metadata.model_spec.version.value == 1
    assert first.log_metadata.sampling_config.sampling_rate == 1.0
    assert abs(first.log_metadata.timestamp_secs - time.time()) < 60


def test_request_log_begins_a_new_file_at_its_size_and_keeps_all(start_server, flags, tmp_path, x):
    client = start_server(**flags, request_log_directory=str(tmp_path / "log"), request_log_file_bytes=1)
    for _ in range(5):
        client.predict(x=x)
    client.wait_until(lambda: len(logged(tmp_path / "log")) == 5)
    assert len(list((tmp_path / "log").glob("requests-*"))) == 5


def test_no_call_is_logged_at_rate_zero(start_server, flags, tmp_path, x):
    client = start_server(**flags, request_log_directory=str(tmp_path / "log"), request_log_sampling_rate=0.0)
    client.predict(x=x)
    client.server.stop()
    assert not list((tmp_path / "log").iterdir())


def test_shadow_traffic_is_compared_and_changes_no_answer(start_server, affine_versions, tmp_path, x):
    shutil.copytree(affine_versions / "1", tmp_path / "m" / "1")
    shutil.copytree(affine_versions / "2", tmp_path / "m" / "2")
    shutil.copytree(affine_versions / "2", tmp_path / "m" / "3")
    file = tmp_path / "models.config"
    file.write_text(
        f"""model_config_list {{ config {{ name: "m" base_path: "{tmp_path}/m" model_platform: "tensorflow"
          model_version_policy {{ all {{}} }} version_labels {{ key: "next" value: 2 }} }} }}"""
    )
    client = start_server(
        model_config_file=str(file),
        allow_version_labels_for_unavailable_models=True,
        shadow_label="next",
    )
    client.wait_until(lambda: len(client.states("m")) == 3 and set(client.states("m").values()) == {30})

    def predict(version):
        request = client.request("m", x=x)
        request.model_spec.version.value = version
        assert client.prediction.Predict(request).model_spec.version.value == version

    def count(outcome):
        return client.server.metrics.totals("/recstack/serving/shadow_count").get(("m", outcome), 0)

    predict(1)
    client.wait_until(lambda: count("different") == 1)
    predict(3)
    client.wait_until(lambda: count("same") == 1)
    predict(2)
    predict(3)
    client.wait_until(lambda: count("same") == 2)
    assert client.server.metrics.totals("/recstack/serving/shadow_count") == {
        ("m", "different"): 1,
        ("m", "same"): 2,
    }


def test_overlap_of_items():
    answered = np.array([[b"1", b"2"], [b"3", b""]], object)
    assert overlap(answered, answered) == 1.0
    assert overlap(answered, np.array([[b"2", b"9"], [b"8", b""]], object)) == 1 / 3
    assert overlap(np.array([[b""]], object), np.array([[b"1"]], object)) == 1.0


def test_counting_from_many_threads_loses_nothing():
    counter, histogram = Counter("/c", "", ["l"]), Histogram("/h", "", ["l"], (1.0,))

    def count():
        for _ in range(1000):
            counter.add("a")
            histogram.add("a", value=0.5)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value("a") == 4000
    assert histogram.totals() == {("a",): 4000.0}
