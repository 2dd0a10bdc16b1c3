"""A real OpenSearch node, started from its jars, gives the catalogue that lies in it.

Elasticsearch's client talks to the same node through a stand-in that calls itself Elasticsearch: none is at hand.
"""

import importlib
import json
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.engine import Engine
from beam_pipelines.sources.stores import search
from beam_pipelines.sources.table_origin import find_origin, read_origin
from beam_pipelines.sources.tables import Column
from beam_pipelines.workspace import Workspace
from features.errors import ConfigError, InputError, RecstackError
from tests.beam_pipelines.sources.stores.reading import read, table_of
from tests.beam_pipelines.sources.stores.relay import relay_to

_COLUMNS = (
    Column(name="item_id", source="sku", kind="id"),
    Column(name="brand", source="brand.name", kind="token"),
    Column(name="price", source="price", kind="number"),
    Column(name="tags", source="tags", kind="list", separator="|"),
)

pytestmark = pytest.mark.slow


def send(port: int, method: str, path: str, body: bytes = b"") -> None:
    url = f"http://127.0.0.1:{port}/{path}"
    request = urllib.request.Request(url, body or None, {"Content-Type": "application/x-ndjson"}, method=method)
    with urllib.request.urlopen(request, timeout=60):
        pass


@pytest.fixture
def filled(opensearch: int) -> int:
    """The node with 100 items in two shards."""
    send(opensearch, "DELETE", "items?ignore_unavailable=true")  # the first test finds no index
    settings = {"settings": {"number_of_shards": 2, "number_of_replicas": 0}}
    url = f"http://127.0.0.1:{opensearch}/items"
    data, headers = json.dumps(settings).encode(), {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, data, headers, method="PUT"), timeout=60).close()
    lines = []
    for n in range(100):
        item = {"sku": f"s{n}", "brand": {"name": f"ä{n % 3}"}, "price": n / 4, "tags": ["a", "b"], "other": n}
        lines += [json.dumps({"index": {"_id": n}}), json.dumps(item)]
    send(opensearch, "POST", "items/_bulk?refresh=true", ("\n".join(lines) + "\n").encode())
    return opensearch


class _SaysElasticsearch(BaseHTTPRequestHandler):
    """Hands requests on to the node, with the media types and the product name that Elasticsearch's client asks for."""

    node = 0

    def _hand_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = f"http://127.0.0.1:{self.node}{self.path}"
        request = urllib.request.Request(url, body or None, {"Content-Type": "application/json"}, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, data = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, data = error.code, error.read()
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _hand_on  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(params=["opensearch", "elasticsearch"])
def url(request: pytest.FixtureRequest, filled: int) -> Iterator[str]:
    if request.param == "opensearch":
        yield f"opensearch+http://127.0.0.1:{filled}"
        return
    handler = type("Handler", (_SaysElasticsearch,), {"node": filled})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"elasticsearch+http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_slices_give_every_document_once(url: str, filled: int) -> None:
    good, bad, num_units = read(table_of(DatabaseSource(url=url, table="items", num_ranges=3), _COLUMNS))
    assert (num_units, bad) == (3, [])
    expected = [{"item_id": f"s{n}", "brand": f"ä{n % 3}", "price": n / 4, "tags": ["a", "b"]} for n in range(100)]
    assert sorted(good, key=lambda row: int(row["item_id"][1:])) == expected


def test_a_query_chooses_documents_and_rejects_name_the_index(url: str, filled: int) -> None:
    send(filled, "POST", "items/_update/3?refresh=true", b'{"doc": {"sku": null}}')
    good, bad, _ = read(table_of(DatabaseSource(url=url, table="items", where="other:[2 TO 4]"), _COLUMNS))
    assert {row["item_id"] for row in good} == {"s2", "s4"}
    assert [(r["file"], r["reason"]) for r in bad] == [(f"{url}/items", "item_id is missing")]


def test_the_digest_changes_with_every_write(url: str, filled: int) -> None:
    table = table_of(DatabaseSource(url=url, table="items"), _COLUMNS)
    first = find_origin(table)
    assert find_origin(table) == first
    send(filled, "POST", "items/_update/5", b'{"doc": {"price": 99}}')
    changed = find_origin(table)
    assert (changed.files[0].size, changed.fingerprint() != first.fingerprint()) == (100, True)


def test_what_is_not_there_is_told(url: str) -> None:
    with pytest.raises(InputError, match="/nothing: no such index"):
        find_origin(table_of(DatabaseSource(url=url, table="nothing"), _COLUMNS))
    lacking = (Column(name="item_id", source="id", kind="id"),)
    with pytest.raises(InputError, match="column 'id' is missing"):
        find_origin(table_of(DatabaseSource(url=url, table="items"), lacking))
    with pytest.raises(RecstackError, match="/items: the server refuses"):
        find_origin(table_of(DatabaseSource(url=url, table="items", where="price:[1 TO"), _COLUMNS))


def test_a_server_that_dies_while_it_is_read_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_DOCUMENTS_PER_REQUEST", 10)
    parts = urlsplit(url)
    with relay_to(parts.port or 0) as relay:
        table = table_of(DatabaseSource(url=f"{parts.scheme}://127.0.0.1:{relay.port}", table="items"), _COLUMNS)
        [unit] = find_origin(table).units(Engine(workspace=Workspace(Path())))
        whole = sum(raw.columns.num_rows for raw in read_origin(table, unit))
        # Enough for the first ten documents, not for all of them.
        relay.break_off_after(4000)
        with pytest.raises(RecstackError, match=r"/items: the server (cannot be reached|refuses or broke off)"):
            list(read_origin(table, unit))
    assert whole == 100


def test_a_scroll_that_lost_a_shard_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the helpers of both clients raise it; of Elasticsearch's it is no error of the interface."""
    helpers = importlib.import_module("opensearchpy" if url.startswith("opensearch") else "elasticsearch").helpers

    def lossy(*_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        yield {"_source": {"sku": "s1"}}
        raise helpers.ScanError("7", "Scroll request has only succeeded on 1 shards out of 2.")

    monkeypatch.setattr(helpers, "scan", lossy)
    with pytest.raises(RecstackError, match=r"/items: the server refuses or broke off .*1 shards out of 2"):
        read(table_of(DatabaseSource(url=url, table="items"), _COLUMNS))


@pytest.mark.parametrize("kind", ["opensearch", "elasticsearch"])
def test_a_server_that_does_not_answer_is_told(kind: str) -> None:
    source = DatabaseSource(url=f"{kind}+http://127.0.0.1:1", table="items")
    with pytest.raises(RecstackError, match=r"127\.0\.0\.1:1/items: the server cannot be reached"):
        find_origin(table_of(source, _COLUMNS))


def test_a_search_index_has_no_key() -> None:
    with pytest.raises(ConfigError, match=r"database\.key = 'sku': expected none"):
        DatabaseSource(url="opensearch+http://127.0.0.1:1", table="items", key="sku").check("pipeline.items.database")
