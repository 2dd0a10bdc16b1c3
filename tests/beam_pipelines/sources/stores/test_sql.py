"""PostgreSQL and MariaDB, real ones, give the rows that the same table in Parquet gives."""

import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from beam_pipelines.config import PipelineConfig, TableSource
from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.passes.typed_columns import validate
from beam_pipelines.prepare import prepare_dataset
from beam_pipelines.refresh import prepare_catalogue
from beam_pipelines.sources.contract import RawBatch, ReadUnit
from beam_pipelines.sources.table_origin import find_origin, read_origin
from beam_pipelines.sources.tables import Column, Table
from features.disk.layout import DatasetLayout
from features.errors import ConfigError, InputError, RecstackError
from features.schema import Schema
from tests.beam_pipelines.conftest import Prepared, prepare
from tests.beam_pipelines.sources.stores.conftest import PASSWORD, SqlServer
from tests.beam_pipelines.sources.stores.reading import Rows
from tests.beam_pipelines.sources.stores.reading import read as read_table

_COLUMNS = (
    Column(name="user_id", source="User", kind="id"),
    Column(name="item_id", source="item", kind="id"),
    Column(name="timestamp", source="time", kind="time"),
    Column(name="price", source="price", kind="number"),
)
_VARIABLE = "RECSTACK_TEST_PASSWORD"
_MOMENT = 1_793_491_200  # 2026-11-01 00:00 UTC


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_VARIABLE, PASSWORD)


@pytest.fixture(params=["postgresql", pytest.param("mariadb", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest) -> SqlServer:
    found: SqlServer = request.getfixturevalue(request.param)
    mark = '"' if found.url.startswith("postgres") else "`"
    found.run("DROP TABLE IF EXISTS events CASCADE")  # with the views of other tests
    found.run(
        f"CREATE TABLE events (id BIGINT, {mark}User{mark} VARCHAR(20), item NUMERIC(12, 2), "
        "time TIMESTAMP NULL, price DECIMAL(8, 2), other TEXT)"
    )
    return found


def insert(server: SqlServer, rows: list[tuple[Any, ...]]) -> None:
    def literal(value: Any) -> str:
        return "NULL" if value is None else f"'{value}'"

    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    server.run(f"INSERT INTO events VALUES {values}")


def database(server: SqlServer, **fields: Any) -> DatabaseSource:
    given = {"table": "events", "key": "id", "password_variable": _VARIABLE} | fields
    return DatabaseSource(**({"url": server.url} | given))


def table_of(source: DatabaseSource, columns: tuple[Column, ...] = _COLUMNS) -> Table:
    return Table(name="interactions", source=TableSource(database=source), columns=columns, key="user_id")


def read(source: DatabaseSource) -> tuple[Rows, Rows, int]:
    """Good rows, rejects and the number of units."""
    return read_table(table_of(source))


@pytest.mark.slow
def test_rows_come_in_ranges_of_the_key_with_types_and_rejects(server: SqlServer) -> None:
    rows = [(n, f"ü{n}", n, "2026-11-01 00:00:00", n / 4, "x") for n in range(1, 101)]
    rows += [(-5, None, 1, "2026-11-01 00:00:00", 1, "x"), (None, "no key", 7, "2026-11-01 00:00:00", None, None)]
    insert(server, rows)
    good, bad, num_units = read(database(server, num_ranges=4))
    assert num_units == 4
    assert [row["user_id"] for row in good if row["user_id"] != "no key"] == [f"ü{n}" for n in range(1, 101)]
    [without_key] = [row for row in good if row["user_id"] == "no key"]
    assert without_key["item_id"] == "7"
    assert np.isnan(without_key["price"])
    assert good[-1] == {"user_id": "ü100", "item_id": "100", "timestamp": _MOMENT, "price": 25.0}
    [refused] = bad
    assert (refused["row"], refused["reason"], refused["column"]) == (-5, "user_id is missing", "User")
    assert refused["file"] == server.url.replace("reader@", "") + "/events"


def test_without_a_key_all_rows_are_one_unit(server: SqlServer) -> None:
    insert(server, [(n, "u", n, "2026-11-01 00:00:00", 1, "x") for n in range(9)])
    good, _, num_units = read(database(server, key=""))
    assert (num_units, sorted(int(row["item_id"]) for row in good)) == (1, list(range(9)))


def test_a_condition_and_a_view_are_read(server: SqlServer) -> None:
    insert(server, [(n, "u", n, "2026-11-01 00:00:00", 1, "a" if n % 2 else "b") for n in range(10)])
    good, _, _ = read(database(server, where="other = 'a' OR id = 0", num_ranges=3))
    assert [row["item_id"] for row in good] == ["0", "1", "3", "5", "7", "9"]
    server.run("DROP VIEW IF EXISTS odd")
    server.run("CREATE VIEW odd AS SELECT * FROM events WHERE other = 'a'")
    try:
        assert len(read(database(server, table="odd"))[0]) == 5
    finally:
        server.run("DROP VIEW odd")


def test_the_digest_changes_with_any_value_that_is_read(server: SqlServer) -> None:
    insert(server, [(n, "u", n, "2026-11-01 00:00:00", 1, "x") for n in range(3)])
    table = table_of(database(server))
    first = find_origin(table)
    server.run("UPDATE events SET other = 'y'")
    assert find_origin(table) == first
    digests = {first.fingerprint()}
    for change in ("price = 2", "price = NULL", "item = 9", "time = '2026-11-02 00:00:00'"):
        server.run(f"UPDATE events SET {change} WHERE id = 1")
        digests.add(find_origin(table).fingerprint())
    assert len(digests) == 5


def test_an_empty_table_ends_the_run(server: SqlServer, tmp_path: Path, ids_only: Schema) -> None:
    columns = {"user_id": "User", "item_id": "item", "timestamp": "time"}
    config = PipelineConfig(interactions=TableSource(database=database(server), columns=columns))
    with pytest.raises(InputError, match="table interactions: the files hold no rows"):
        prepare_dataset(ids_only, config, DatasetLayout(tmp_path / "dataset"), seed=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_dataset_is_the_one_that_parquet_gives(server: SqlServer, tmp_path: Path, ids_only: Schema) -> None:
    numbers = range(400)
    insert(server, [(n, f"u{n % 20}", n % 33, f"2026-11-{n // 20 + 1:02d} 00:00:00", 1, "x") for n in numbers])
    columns = {"user_id": "User", "item_id": "item", "timestamp": "time"}
    source = TableSource(database=database(server, num_ranges=3), columns=columns)
    dataset = DatasetLayout(tmp_path / "from_sql")
    config = PipelineConfig(interactions=source, report=False)
    manifest = prepare_dataset(ids_only, config, dataset, seed=1).manifest
    rows = [{"user_id": f"u{n % 20}", "item_id": str(n % 33), "timestamp": _MOMENT + n // 20 * 86_400} for n in numbers]
    from_parquet = prepare(tmp_path, ids_only, interactions=rows)
    assert Prepared(manifest, False, dataset).digests() == from_parquet.digests()
    assert prepare_dataset(ids_only, config, dataset, seed=1).nothing_to_do
    assert PASSWORD not in dataset.manifest.read_text()
    server.run("UPDATE events SET item = 32 WHERE id = 0")
    assert not prepare_dataset(ids_only, config, dataset, seed=1).nothing_to_do


@pytest.mark.slow
def test_the_index_is_refreshed_from_a_table_of_a_database(server: SqlServer, tmp_path: Path, ids_only: Schema) -> None:
    insert(server, [(n, f"u{n % 5}", n % 9, f"2026-11-{n // 5 + 1:02d} 00:00:00", 1, "x") for n in range(100)])
    columns = {"user_id": "User", "item_id": "item", "timestamp": "time"}
    config = PipelineConfig(
        interactions=TableSource(database=database(server), columns=columns),
        items=TableSource(database=database(server), columns={"item_id": "item"}),
        report=False,
    )
    dataset = DatasetLayout(tmp_path / "dataset")
    prepare_dataset(ids_only, config, dataset, seed=1)
    insert(server, [(1000, None, 77, None, 1, "x")])
    catalogue = DatasetLayout(tmp_path / "catalogue")
    manifest = prepare_catalogue(ids_only, config, dataset, catalogue, lambda message: None)
    assert manifest.counts["candidates"] == 10
    assert prepare_catalogue(ids_only, config, dataset, catalogue, lambda message: None) == manifest


def test_what_the_server_refuses_is_told(server: SqlServer) -> None:
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"table": "nothing"}, InputError, r"nothing"),
        ({"where": "nonsense = 1"}, InputError, r"/events: the database refuses .*nonsense"),
        ({"key": "nothing"}, ConfigError, r"database\.key = 'nothing': expected one of the columns 'id', 'User'"),
        ({"key": "other"}, ConfigError, r"database\.key = 'other': expected a whole-number column"),
        ({"password_variable": "RECSTACK_UNSET"}, ConfigError, "password_variable = 'RECSTACK_UNSET'"),
    ]
    for fields, kind, message in cases:
        with pytest.raises(kind, match=message):
            read(database(server, **fields))
    lacking = table_of(database(server), (Column(name="user_id", source="customer", kind="id"),))
    with pytest.raises(InputError, match=r"column 'customer' is missing, the columns are 'id', 'User'"):
        find_origin(lacking)


@pytest.mark.slow
def test_a_server_that_dies_while_it_is_read_ends_the_run(
    postgresql: SqlServer, tmp_path: Path, ids_only: Schema
) -> None:
    postgresql.run("DROP TABLE IF EXISTS events CASCADE")
    postgresql.run(
        "CREATE TABLE events AS SELECT n AS id, n % 20 AS u, n % 33 AS i, n AS t FROM generate_series(1, 400) n"
    )
    postgresql.run("CREATE VIEW log AS SELECT id, u, i, t FROM events")
    columns = {"user_id": "u", "item_id": "i", "timestamp": "t"}
    source = TableSource(database=database(postgresql, table="log"), columns=columns)
    config = PipelineConfig(interactions=source, report=False)
    place = tmp_path / "out"

    def slow_down_and_stop(told: str) -> None:
        if told.startswith("reading"):
            slow = "SELECT id, u, i, t + length(pg_sleep(0.1)::text) AS t FROM events"
            postgresql.run(f"CREATE OR REPLACE VIEW log AS {slow}")
            stopping.start()

    def stop_while_it_reads() -> None:
        reading = "(SELECT 1 FROM pg_stat_activity WHERE usename = 'reader' AND wait_event = 'PgSleep')"
        wait = "PERFORM pg_sleep(0.01); PERFORM pg_stat_clear_snapshot();"
        postgresql.run(f"DO $$ BEGIN WHILE NOT EXISTS {reading} LOOP {wait} END LOOP; END $$")
        postgresql.control("stop")

    stopping = threading.Thread(target=stop_while_it_reads, daemon=True)
    with pytest.raises(RecstackError, match=r"/shop/log: the database refuses or broke off"):
        prepare_dataset(ids_only, config, DatasetLayout(place / "dataset"), seed=1, progress=slow_down_and_stop)
    assert not list(place.iterdir())
    stopping.join(60)
    assert not stopping.is_alive()
    postgresql.control("start")
    postgresql.run("CREATE OR REPLACE VIEW log AS SELECT id, u, i, t FROM events")
    manifest = prepare_dataset(ids_only, config, DatasetLayout(place / "dataset"), seed=1).manifest
    assert manifest.counts["interactions_read"] == 400
    assert [path.name for path in place.iterdir()] == ["dataset"]


def test_a_stream_that_breaks_off_is_told(postgresql: SqlServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        """As the driver raises it: no `Exception`, and of a module that cannot be imported."""

    def broken_stream(*_: Any, **__: Any) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"user_id": ["u"]})
        raise PanicException("Connection reset by peer")

    monkeypatch.setitem(sys.modules, "connectorx", SimpleNamespace(read_sql=broken_stream))
    table = table_of(database(postgresql, key=""), _COLUMNS[:1])
    unit = ReadUnit(table="interactions", path="log", format="database")
    with pytest.raises(RecstackError, match=r"the database refuses or broke off \(Connection reset by peer"):
        list(read_origin(table, unit))


def test_a_server_that_does_not_answer_is_told() -> None:
    source = DatabaseSource(url="postgresql://reader@127.0.0.1:1/shop", table="events")
    with pytest.raises(RecstackError, match=r"127\.0\.0\.1:1: the database server cannot be reached"):
        find_origin(table_of(source))


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("url", {"table": "events"}),
        ("url", {"url": "oracle://db/shop", "table": "events"}),
        ("url", {"url": "mysql://db:port/shop", "table": "events"}),
        ("url", {"url": "mysql://me:secret@db/shop", "table": "events"}),
        ("table", {"url": "mysql://db/shop"}),
        ("key", {"url": "mysql://db/shop", "table": "events", "num_ranges": 2}),
        ("num_ranges", {"url": "mysql://db/shop", "table": "events", "key": "id", "num_ranges": -1}),
    ],
)
def test_a_wrong_database_is_refused_by_its_field(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        PipelineConfig(items=TableSource(database=DatabaseSource(**fields)))
    assert caught.value.field == f"pipeline.items.database.{field}"
    assert "secret" not in str(caught.value)


def test_a_table_has_one_origin() -> None:
    source = DatabaseSource(url="mysql://db/shop", table="events")
    for beside in ({"path": "a.csv"}, {"format": "movielens"}, {"first": "2026-11-01"}):
        with pytest.raises(ConfigError, match=r"pipeline\.items\.database"):
            PipelineConfig(items=TableSource(database=source, **beside))


def test_numeric_ids_lose_only_their_empty_decimals() -> None:
    table = table_of(DatabaseSource(url="mysql://db/shop", table="events"), _COLUMNS[:1])
    values = pa.array(
        [Decimal("3.00"), Decimal("100.00"), Decimal("0.00"), Decimal("3.50"), None], pa.decimal128(38, 10)
    )
    raw = RawBatch(pa.RecordBatch.from_arrays([values], ["User"]), np.arange(1, 6))
    good, bad = validate(table, "t", raw)
    assert good.column("user_id").to_pylist() == ["3", "100", "0"]
    assert bad.column("reason").to_pylist() == ["user_id is missing", "user_id is not a whole number"]
