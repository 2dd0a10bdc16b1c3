"""A server that speaks MongoDB's protocol (FerretDB, built by the Go toolchain) gives the rows that lie in it."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from beam_pipelines.config import PipelineConfig, TableSource
from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.prepare import prepare_dataset
from beam_pipelines.sources.stores import mongodb
from beam_pipelines.sources.table_origin import find_origin
from beam_pipelines.sources.tables import Column
from features.disk.layout import DatasetLayout
from features.errors import ConfigError, InputError, RecstackError
from features.schema import Schema
from tests.beam_pipelines.conftest import Prepared, prepare
from tests.beam_pipelines.sources.stores.reading import read, table_of
from tests.beam_pipelines.sources.stores.relay import relay_to

_COLUMNS = (
    Column(name="item_id", source="_id", kind="id"),
    Column(name="timestamp", source="added", kind="time"),
    Column(name="author", source="author.name", kind="token"),
    Column(name="genres", source="genres", kind="list", separator="|"),
)
_DAY = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
_SECOND = 1_793_491_200


@pytest.fixture
def collection(ferretdb: str) -> "Iterator[Collection[Any]]":
    with MongoClient(ferretdb) as client:
        collection = client.get_default_database()["items"]
        collection.drop()
        yield collection


def document(number: int) -> dict[str, Any]:
    return {"_id": number, "added": _DAY, "author": {"name": f"ä{number}"}, "genres": ["a", "b"], "other": number % 2}


def test_documents_come_in_ranges_with_types_and_rejects(ferretdb: str, collection: "Collection[Any]") -> None:
    collection.insert_many([document(number) for number in range(10)])
    collection.update_one({"_id": 7}, {"$set": {"added": "yesterday"}})
    collection.update_one({"_id": 8}, {"$unset": {"author": "", "genres": ""}})
    good, bad, num_units = read(table_of(DatabaseSource(url=ferretdb, table="items", num_ranges=3), _COLUMNS))
    assert num_units == 3
    expected = {
        n: {"item_id": str(n), "timestamp": _SECOND, "author": f"ä{n}", "genres": ["a", "b"]}
        for n in range(10)
        if n != 7
    }
    expected[8] |= {"author": "", "genres": []}
    assert good == list(expected.values())
    [refused] = bad
    assert (refused["row"], refused["reason"], refused["value"]) == (8, "added is not of the date type", "yesterday")
    assert refused["file"] == f"{ferretdb}/items"


def test_a_filter_and_object_ids_are_read(ferretdb: str, collection: "Collection[Any]") -> None:
    numbers = range(20)
    ids = collection.insert_many([{"added": _DAY, "kind": n % 2} for n in numbers]).inserted_ids
    source = DatabaseSource(url=ferretdb, table="items", where='{"kind": 1}', num_ranges=4)
    good, _, num_units = read(table_of(source, _COLUMNS[:2]))
    assert num_units == 4
    assert [row["item_id"] for row in good] == [str(ids[n]) for n in numbers if n % 2]


def test_ids_of_several_types_are_one_range(ferretdb: str, collection: "Collection[Any]") -> None:
    collection.insert_many([document(number) for number in range(4)])
    collection.insert_many([document(0) | {"_id": f"text {number}"} for number in range(4)])
    good, _, num_units = read(table_of(DatabaseSource(url=ferretdb, table="items", num_ranges=4), _COLUMNS))
    assert num_units == 1
    assert {row["item_id"] for row in good} == {*map(str, range(4)), *(f"text {n}" for n in range(4))}


def test_the_digest_changes_with_any_value_that_is_read(ferretdb: str, collection: "Collection[Any]") -> None:
    collection.insert_many([document(number) for number in range(3)])
    table = table_of(DatabaseSource(url=ferretdb, table="items"), _COLUMNS)
    first = find_origin(table)
    collection.update_many({}, {"$set": {"other": 9}})
    assert find_origin(table) == first
    collection.update_one({"_id": 1}, {"$set": {"author.name": "x"}})
    assert find_origin(table) != first


@pytest.mark.slow
def test_a_dataset_is_the_one_that_parquet_gives(
    ferretdb: str, collection: "Collection[Any]", tmp_path: Path, ids_only: Schema
) -> None:
    rows = [{"user_id": f"u{n % 20}", "item_id": f"i{n % 33}", "timestamp": _SECOND + n} for n in range(400)]
    collection.insert_many([dict(row) for row in rows])
    source = TableSource(database=DatabaseSource(url=ferretdb, table="items", num_ranges=3))
    dataset = DatasetLayout(tmp_path / "from_mongodb")
    manifest = prepare_dataset(ids_only, PipelineConfig(report=False, interactions=source), dataset, seed=1).manifest
    from_parquet = prepare(tmp_path, ids_only, interactions=rows)
    assert Prepared(manifest, False, dataset).digests() == from_parquet.digests()
    assert prepare_dataset(ids_only, PipelineConfig(report=False, interactions=source), dataset, seed=1).nothing_to_do


def test_what_is_not_there_is_told(ferretdb: str, collection: "Collection[Any]") -> None:
    collection.insert_one(document(1))
    lacking = (Column(name="item_id", source="sku", kind="id"),)
    cases: list[tuple[dict[str, Any], tuple[Column, ...], type[Exception], str]] = [
        ({"table": "nothing"}, _COLUMNS, InputError, "/nothing: no document"),
        ({}, lacking, InputError, "column 'sku' is missing, the columns are '_id', 'added', 'author', 'genres'"),
        ({"where": "[1]"}, _COLUMNS, ConfigError, r"database\.where = .*a MongoDB filter as JSON"),
        ({"where": "kind = 1"}, _COLUMNS, ConfigError, r"database\.where = .*a MongoDB filter as JSON"),
        ({"where": '{"kind": {"$nonsense": 1}}'}, _COLUMNS, RecstackError, "/items: the server refuses"),
        ({"url": ferretdb.removesuffix("/shop")}, _COLUMNS, ConfigError, "a URL with a database"),
    ]
    for fields, columns, kind, message in cases:
        with pytest.raises(kind, match=message):
            find_origin(table_of(DatabaseSource(**({"url": ferretdb, "table": "items"} | fields)), columns))


@pytest.mark.slow
def test_a_server_that_dies_while_it_is_read_ends_the_run(
    ferretdb: str, collection: "Collection[Any]", tmp_path: Path, ids_only: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongodb, "_CONNECT_MILLISECONDS", 500)
    rows = [{"user_id": f"u{n % 20}", "item_id": f"i{n % 33}", "timestamp": _SECOND + n} for n in range(3000)]
    collection.insert_many(rows)
    place = tmp_path / "out"
    with relay_to(urlsplit(ferretdb).port or 0) as relay:
        url = f"mongodb://127.0.0.1:{relay.port}/shop"
        source = TableSource(database=DatabaseSource(url=url, table="items", num_ranges=3))
        config = PipelineConfig(report=False, interactions=source)

        def break_off(told: str) -> None:
            if told.startswith("reading"):
                relay.break_off_after(60_000)

        with pytest.raises(RecstackError, match=r"/shop/items: the server (cannot be reached|refuses or broke off)"):
            prepare_dataset(ids_only, config, DatasetLayout(place / "dataset"), seed=1, progress=break_off)
        assert not list(place.iterdir())
        relay.start_again()
        manifest = prepare_dataset(ids_only, config, DatasetLayout(place / "dataset"), seed=1).manifest
    assert manifest.counts["interactions_read"] == len(rows)
