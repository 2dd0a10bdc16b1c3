"""OpenSearch and Elasticsearch through their own clients, whose `scan` helpers have the same interface."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.engine import Engine
from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile
from beam_pipelines.sources.stores.documents import raw_batch, require_fields
from beam_pipelines.sources.tables import Table
from features.errors import InputError, RecstackError, first_line
from features.schema import fingerprint

_BATCH_DOCUMENTS = 50_000
_DOCUMENTS_PER_SLICE = 500_000
_DOCUMENTS_TO_CHECK = 1000
_DOCUMENTS_PER_REQUEST = 5000
_BYTES_PER_DOCUMENT = 512
# Module, class, and name of the class's timeout parameter.
_CLIENTS = {
    "opensearch": ("opensearchpy", "OpenSearch", "timeout"),
    "elasticsearch": ("elasticsearch", "Elasticsearch", "request_timeout"),
}
_ANSWER_SECONDS = 60


def find(table: Table) -> list[SourceFile]:
    """`contract.Store.find`: the digest is made of the shards' sequence numbers, which every write increments."""
    source = table.source.database
    with _client(source) as (client, _):
        client.indices.refresh(index=source.table)
        first = client.search(index=source.table, body=_query(table) | {"size": _DOCUMENTS_TO_CHECK})["hits"]["hits"]
        if not first:
            raise InputError(f"{source.label}: no document; correct pipeline.{table.name}.database")
        require_fields(table, source.label, [hit["_source"] for hit in first])
        stats = client.indices.stats(index=source.table, level="shards")
        size = int(client.count(index=source.table, body={"query": _where(source)})["count"])
    numbers = {
        f"{name} {index['uuid']} {shard}": max(int(copy["seq_no"]["max_seq_no"]) for copy in copies)
        for name, index in stats["indices"].items()
        for shard, copies in index["shards"].items()
    }
    return [SourceFile(path=source.label, size=size, modified=0.0, digest=fingerprint(numbers))]


def units(table: Table, _found: list[SourceFile], _engine: Engine) -> Iterator[ReadUnit]:
    """`contract.Store.units`: slices, which the server makes by the hash of the document's id."""
    source = table.source.database
    with _client(source) as (client, _):
        total = int(client.count(index=source.table, body={"query": _where(source)})["count"])
    num_slices = source.num_ranges or max(1, -(-total // _DOCUMENTS_PER_SLICE))
    for number in range(num_slices):
        size = total // num_slices * _BYTES_PER_DOCUMENT
        selection = f"{number}/{num_slices}"
        yield ReadUnit(table=table.name, path=source.label, format="database", selection=selection, size=size)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.Store.read`; row numbers are positions in the slice."""
    source = table.source.database
    number, num_slices = map(int, unit.selection.split("/"))
    query = _query(table)
    if num_slices > 1:
        query["slice"] = {"id": number, "max": num_slices}
    row = 1
    with _client(source) as (client, module):
        hits = module.helpers.scan(client, query=query, index=source.table, size=_DOCUMENTS_PER_REQUEST)
        documents = (hit["_source"] for hit in hits)
        while batch := list(islice(documents, _BATCH_DOCUMENTS)):
            yield raw_batch(table, batch, np.arange(row, row + len(batch)))
            row += len(batch)


def _query(table: Table) -> dict[str, Any]:
    names = [column.source for column in table.columns]
    return {"query": _where(table.source.database), "_source": names}


def _where(source: DatabaseSource) -> Mapping[str, Any]:
    """A query in the query-string syntax of both servers, such as `brand:acme AND price:[10 TO *]`."""
    return {"query_string": {"query": source.where}} if source.where else {"match_all": {}}


@contextmanager
def _client(source: DatabaseSource) -> Iterator[tuple[Any, Any]]:
    """A client and the module it is from."""
    package, name, waits = _CLIENTS[source.kind]
    module = importlib.import_module(package)
    importlib.import_module(f"{package}.helpers")
    parts = urlsplit(source.url_with_password())
    url = urlunsplit(parts._replace(scheme=parts.scheme.partition("+")[2]))
    try:
        with closing(getattr(module, name)([url], **{waits: _ANSWER_SECONDS})) as client:
            yield client, module
    except module.ConnectionError as error:
        raise RecstackError(f"{source.label}: the server cannot be reached; start it or correct `url`") from error
    except module.NotFoundError as error:
        raise InputError(f"{source.label}: no such index; correct `table`") from error
    except _errors(module) as error:
        raise RecstackError(f"{source.label}: the server refuses or broke off ({first_line(error)})") from error


def _errors(module: Any) -> tuple[type[Exception], ...]:
    """All that a client raises; Elasticsearch's errors have no common class, and a lost shard is one of the helpers."""
    names = ("OpenSearchException", "ApiError", "TransportError")
    return (*(getattr(module, name) for name in names if hasattr(module, name)), module.helpers.ScanError)
