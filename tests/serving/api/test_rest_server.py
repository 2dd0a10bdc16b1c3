"""REST at servers of its own: addresses, connections, timeouts, headers and the metrics page."""

import errno
import http.client
import json
import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.api.rest import http_server
from serving.api.rest.app import peer_address
from tests.serving.api.test_rest import MODEL
from tests.serving.conftest import PATIENCE


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="the machine has no IPv6")
def test_clients_may_come_by_ipv6(tiny):
    url = f"http://[::1]:{tiny.server._config.rest_api_port}{MODEL}"
    assert httpx.get(url).status_code == 200


def test_without_ipv6_ipv4_is_served(monkeypatch, free_port):
    bound = http_server._bound

    def without_ipv6(family, *given):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return bound(family, *given)

    monkeypatch.setattr(http_server, "_bound", without_ipv6)
    with http_server._listen(free_port, False) as listening:
        assert listening.getsockname() == ("0.0.0.0", free_port)


@pytest.mark.parametrize(
    ("host", "peer"),
    [("10.0.0.1", "ipv4:10.0.0.1"), ("::ffff:10.0.0.1", "ipv4:10.0.0.1"), ("2001:db8::7", "ipv6:[2001:db8::7]")],
)
def test_a_clients_address_is_that_of_its_own_protocol(host, peer):
    assert peer_address(host) == peer


def test_one_connection_serves_many_requests(tiny):
    connection = http.client.HTTPConnection("127.0.0.1", tiny.server._config.rest_api_port, timeout=PATIENCE)
    for _ in range(3):
        connection.request("POST", f"{MODEL}:predict", '{"inputs": [2.0]}')
        assert json.loads(connection.getresponse().read()) == {"outputs": [3.0]}
    connection.close()


@pytest.mark.slow
def test_rest_stops_work_at_its_timeout(start_server, tiny_model, free_port):
    flags = {"model_name": "tiny", "model_base_path": str(tiny_model), "rest_api_port": free_port}
    start_server(**flags, rest_api_timeout_in_ms=300)
    document = {"signature_name": "loop", "inputs": 10**9}
    response = httpx.post(f"http://127.0.0.1:{free_port}{MODEL}:predict", json=document, timeout=PATIENCE)
    assert response.status_code == 504


def test_cors_by_flag(start_server, tiny_model, free_port):
    flags = {"model_name": "tiny", "model_base_path": str(tiny_model), "rest_api_port": free_port}
    start_server(**flags, rest_api_enable_cors_support=True)
    url = f"http://127.0.0.1:{free_port}{MODEL}"
    assert httpx.get(url).headers["access-control-allow-origin"] == "*"
    for origin, status in (("https://shop.example", 200), ("http://localhost:3000", 200), ("null", 400), (None, 400)):
        preflight = httpx.options(f"{url}:predict", headers={"Origin": origin} if origin else {})
        assert (preflight.status_code, preflight.content) == (status, b"")
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert preflight.headers["access-control-allow-methods"] == "POST, GET"
    assert httpx.options(f"http://127.0.0.1:{free_port}/v2").status_code == 404


def metrics_of(port, path="/monitoring/prometheus/metrics"):
    response = httpx.get(f"http://127.0.0.1:{port}{path}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    assert list(text_string_to_metric_families(response.text))
    return dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))


def test_metrics_under_the_real_names(start_server, tiny_model, free_port, tmp_path, x):
    file = tmp_path / "monitoring.config"
    file.write_text("prometheus_config { enable: true }")
    flags = {"model_name": "tiny", "model_base_path": str(tiny_model), "rest_api_port": free_port}
    client = start_server(**flags, monitoring_config_file=str(file))
    url = f"http://127.0.0.1:{free_port}{MODEL}"
    client.predict(x=x)
    httpx.post(f"{url}:predict", json={"inputs": [1.0]})
    httpx.post(f"{url}:predict", json={"inputs": ["a"]})
    httpx.get(f"http://127.0.0.1:{free_port}/v1/nonsense")
    samples = metrics_of(free_port)
    serving = ":tensorflow:serving:"
    path = tiny_model / "1"
    for name, value in {
        f'{serving}request_count{{model_name="tiny",status="OK"}}': 2,
        f'{serving}request_count{{model_name="tiny",status="INVALID_ARGUMENT"}}': 1,
        f'{serving}request_count{{model_name="",status="INVALID_ARGUMENT"}}': 1,
        f'{serving}request_latency_count{{model_name="tiny",API="Predict",entrypoint="GRPC"}}': 1,
        f'{serving}request_latency_count{{model_name="tiny",API="predict",entrypoint="REST"}}': 1,
        f'{serving}request_latency_bucket{{model_name="tiny",API="Predict",entrypoint="GRPC",le="+Inf"}}': 1,
        f'{serving}runtime_latency_count{{model_name="tiny",API="Predict",runtime="TF1"}}': 2,
        ":tensorflow:core:graph_runs{}": 2,
        ':recstack:serving:version_request_count{model_name="tiny",version="1",status="OK"}': 2,
        ':recstack:serving:version_request_count{model_name="tiny",version="1",status="INVALID_ARGUMENT"}': 1,
        ':recstack:serving:version_request_latency_count{model_name="tiny",version="1"}': 2,
        f':tensorflow:cc:saved_model:load_attempt_count{{model_path="{path}",status="success"}}': 1,
    }.items():
        assert samples[name] == str(value), name


def test_the_metrics_path_is_configurable(start_server, tiny_model, free_port, tmp_path):
    file = tmp_path / "monitoring.config"
    file.write_text('prometheus_config { enable: true path: "/metrics" }')
    flags = {"model_name": "tiny", "model_base_path": str(tiny_model), "rest_api_port": free_port}
    start_server(**flags, monitoring_config_file=str(file))
    assert metrics_of(free_port, "/metrics")
    assert httpx.get(f"http://127.0.0.1:{free_port}/monitoring/prometheus/metrics").status_code == 404


def test_the_same_port_for_both_serves_grpc_only(start_server, tiny_model, free_port, x, caplog):
    client = start_server(model_name="tiny", model_base_path=str(tiny_model), port=free_port, rest_api_port=free_port)
    assert "cannot be the same as --port" in caplog.text
    assert client.predict(x=x).model_spec.version.value == 1
