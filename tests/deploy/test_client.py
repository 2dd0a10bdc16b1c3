"""The manifests as Kubernetes' own client sends them, to an API server that records them and gives them back."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from kubernetes import client, utils

from tests.deploy.test_manifests import KUBERNETES

MANIFESTS = [path for path in KUBERNETES if path.stem != "kustomization"]


class Recorder(ThreadingHTTPServer):
    """An API server that takes everything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.created: list[tuple[str, dict[str, object]]] = []


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.created.append((self.path, json.loads(body)))
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_every_manifest_is_created_at_its_kinds_own_endpoint(api: Recorder) -> None:
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{api.server_port}"
    with client.ApiClient(configuration) as connection:
        for path in MANIFESTS:
            # The answers become the client's typed objects, which refuse what lacks a required field.
            utils.create_from_yaml(connection, str(path), dry_run="All")
    assert {path.partition("?")[0] for path, _ in api.created} == {
        "/api/v1/namespaces/default/persistentvolumeclaims",
        "/api/v1/namespaces/default/services",
        "/apis/apps/v1/namespaces/default/deployments",
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
        "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
    }
    assert all(path.endswith("?dryRun=All") for path, _ in api.created)
    written = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text()) if document]
    assert [body for _, body in api.created] == written
