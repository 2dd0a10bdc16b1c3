"""MongoDB through its own driver.

`apache_beam.io.mongodbio` is built on the same driver but not used: it makes a Beam element of every document, which
costs more than everything else, and it finds ranges by `splitVector` or `$bucketAuto`, which compatible servers lack
and which need administrator rights.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
from bson import json_util
from pymongo import ASCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.errors import ConfigurationError, PyMongoError, ServerSelectionTimeoutError

from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.engine import Engine
from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile
from beam_pipelines.sources.stores.documents import raw_batch, require_fields
from beam_pipelines.sources.tables import Table
from features.errors import ConfigError, InputError, RecstackError, first_line

_BATCH_DOCUMENTS = 50_000
_DOCUMENTS_PER_RANGE = 500_000
_DOCUMENTS_TO_CHECK = 1000
_BYTES_PER_DOCUMENT = 256
_CONNECT_MILLISECONDS = 10_000
_BY_ID = [("_id", ASCENDING)]


def find(table: Table) -> list[SourceFile]:
    """`contract.Store.find`: reads the undecoded documents to compute the checksum, which no server can."""
    source = table.source.database
    checksum = hashlib.sha256()
    with _collection(source) as collection:
        first = list(collection.find(_where(source), limit=_DOCUMENTS_TO_CHECK))
        if not first:
            raise InputError(f"{source.label}: no document; correct pipeline.{table.name}.database")
        require_fields(table, source.label, first)
        for batch in collection.find_raw_batches(_where(source), _projection(table), sort=_BY_ID):
            checksum.update(batch)
        size = collection.count_documents(_where(source))
    return [SourceFile(path=source.label, size=size, modified=0.0, digest=checksum.hexdigest())]


def units(table: Table, _found: list[SourceFile], _engine: Engine) -> Iterator[ReadUnit]:
    """`contract.Store.units`: ranges of `_id` with equally many documents."""
    source = table.source.database
    with _collection(source) as collection:
        total = collection.count_documents(_where(source))
        step = -(-total // source.num_ranges) if source.num_ranges else _DOCUMENTS_PER_RANGE
        edges = _edges(collection, source, max(1, step))
        # Comparisons find only ids of the same type, so a collection with several types of ids is one range.
        if sum(collection.count_documents(_between(source, edges, n)) for n in range(len(edges) + 1)) != total:
            edges = []
    for number in range(len(edges) + 1):
        yield ReadUnit(
            table=table.name,
            path=source.label,
            format="database",
            selection=json_util.dumps(_between(source, edges, number)),
            first_row=1 + number * step,
            size=min(step, total) * _BYTES_PER_DOCUMENT,
        )


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.Store.read`: in the order of `_id`, which also numbers the rows."""
    row = unit.first_row
    with _collection(table.source.database) as collection:
        selection = json_util.loads(unit.selection)
        cursor = iter(collection.find(selection, _projection(table), sort=_BY_ID, batch_size=10_000))
        while documents := list(islice(cursor, _BATCH_DOCUMENTS)):
            yield raw_batch(table, documents, np.arange(row, row + len(documents)))
            row += len(documents)


def _edges(collection: Collection[Any], source: DatabaseSource, step: int) -> list[Any]:
    """The last `_id` of each range except the last one."""
    edges: list[Any] = []
    while True:
        after = {"_id": {"$gt": edges[-1]}} if edges else {}
        cursor = collection.find(_both(_where(source), after), {"_id": 1}, sort=_BY_ID, skip=step - 1, limit=2)
        found = [document["_id"] for document in cursor]
        if len(found) < 2:
            return edges
        edges.append(found[0])


def _between(source: DatabaseSource, edges: list[Any], number: int) -> dict[str, Any]:
    bounds = {}
    if number > 0:
        bounds["$gt"] = edges[number - 1]
    if number < len(edges):
        bounds["$lte"] = edges[number]
    return _both(_where(source), {"_id": bounds} if bounds else {})


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {"$and": [one, other]} if one and other else one or other


def _where(source: DatabaseSource) -> dict[str, Any]:
    if not source.where:
        return {}
    try:
        condition = json_util.loads(source.where)
    except (ValueError, TypeError) as error:
        raise ConfigError("database.where", source.where, f"a MongoDB filter as JSON ({first_line(error)})") from error
    if not isinstance(condition, dict):
        raise ConfigError("database.where", source.where, 'a MongoDB filter as JSON, such as {"kind": "view"}')
    return condition


def _projection(table: Table) -> dict[str, int]:
    names = [column.source for column in table.columns]
    return {"_id": int("_id" in names)} | {name: 1 for name in names if name != "_id"}


@contextmanager
def _collection(source: DatabaseSource) -> Iterator[Collection[Any]]:
    try:
        client: MongoClient[Any] = MongoClient(
            source.url_with_password(), tz_aware=True, serverSelectionTimeoutMS=_CONNECT_MILLISECONDS
        )
        with client:
            yield client.get_default_database()[source.table]
    except ServerSelectionTimeoutError as error:
        raise RecstackError(f"{source.label}: the server cannot be reached; start it or correct `url`") from error
    except ConfigurationError as error:
        raise ConfigError("database.url", source.url, f"a URL with a database ({first_line(error)})") from error
    except PyMongoError as error:
        raise RecstackError(f"{source.label}: the server refuses or broke off ({first_line(error)})") from error
