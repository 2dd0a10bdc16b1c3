"""What is ours of reading BigQuery. There is no server to test against: the connector is replaced by rows."""

import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apache_beam as beam
import pytest

from beam_pipelines.config import TableSource
from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.sources.stores import bigquery
from beam_pipelines.sources.table_origin import find_origin
from beam_pipelines.sources.tables import Column, Table
from features.errors import ConfigError, InputError, RecstackError
from tests.beam_pipelines.sources.stores.reading import read, table_of

_COLUMNS = (
    Column(name="user_id", source="customer", kind="id"),
    Column(name="timestamp", source="at", kind="time"),
)
_SOURCE = DatabaseSource(url="bigquery://project/shop", table="events", where="kind = 'view'")
_MOMENT = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


class _Connector(beam.PTransform):
    """Stands in for `ReadFromBigQuery`."""

    Method = SimpleNamespace(DIRECT_READ="DIRECT_READ")
    asked: dict[str, Any]

    def __init__(self, **asked: Any) -> None:
        super().__init__()
        type(self).asked = asked

    def expand(self, root: Any) -> Any:
        rows = [{"customer": n, "at": _MOMENT + datetime.timedelta(seconds=n)} for n in range(10)]
        return root | beam.Create([*rows, {"customer": None, "at": _MOMENT}])


@pytest.fixture(autouse=True)
def connector(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    fields = [SimpleNamespace(name=name) for name in ("customer", "at", "kind")]
    shown = SimpleNamespace(numRows=11, lastModifiedTime=5, schema=SimpleNamespace(fields=fields))

    def get_table(project: str, dataset: str, table: str) -> SimpleNamespace:
        if (project, dataset, table) != ("project", "shop", "events"):
            raise RuntimeError("404 not found")
        return shown

    wrapper = SimpleNamespace(get_table=get_table)
    monkeypatch.setattr(bigquery.bigquery_tools, "BigQueryWrapper", lambda: wrapper, raising=False)
    monkeypatch.setattr(bigquery.bigquery, "ReadFromBigQuery", _Connector)
    return shown


def test_rows_are_copied_and_read_by_columns(tmp_path: Path) -> None:
    good, bad, num_units = read(table_of(_SOURCE, _COLUMNS), tmp_path)
    assert num_units >= 1
    second = int(_MOMENT.timestamp())
    expected = [{"user_id": str(n), "timestamp": second + n} for n in range(10)]
    assert sorted(good, key=lambda row: row["timestamp"]) == expected
    assert [(row["file"], row["reason"]) for row in bad] == [("bigquery://project/shop/events", "user_id is missing")]
    assert _Connector.asked["table"] == "project:shop.events"
    assert _Connector.asked["selected_fields"] == ["customer", "at"]
    assert _Connector.asked["row_restriction"] == "kind = 'view'"


def test_the_digest_is_the_last_change(connector: SimpleNamespace) -> None:
    table = table_of(_SOURCE, _COLUMNS)
    first = find_origin(table)
    connector.lastModifiedTime = 6
    assert find_origin(table) != first


def test_what_is_not_there_is_told() -> None:
    nothing = Table(
        name="items",
        source=TableSource(database=DatabaseSource(url="bigquery://project/shop", table="none")),
        columns=_COLUMNS,
        key="user_id",
    )
    with pytest.raises(RecstackError, match="shop/none: BigQuery does not show the table"):
        find_origin(nothing)
    with pytest.raises(InputError, match="column 'id' is missing"):
        find_origin(table_of(_SOURCE, (Column(name="user_id", source="id", kind="id"),)))
    with pytest.raises(ConfigError, match="no num_ranges or password_variable"):
        DatabaseSource(url="bigquery://project/shop", table="events", num_ranges=2).check("x")
