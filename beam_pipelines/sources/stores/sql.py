"""PostgreSQL, MySQL and MariaDB through connectorx, which returns Arrow batches without Python objects."""

import contextlib
import importlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.engine import Engine
from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, require_columns
from beam_pipelines.sources.tables import Table
from features.errors import ConfigError, InputError, RecstackError, first_line
from features.schema import fingerprint

_BATCH_ROWS = 1 << 17
_ROWS_PER_RANGE = 500_000
# Makes each range of a large table a task of its own, while small tables share one.
_BYTES_PER_ROW = 128
_CONNECT_SECONDS = 10
_PANIC = "PanicException"


@dataclass(frozen=True, kw_only=True)
class _Dialect:
    """Differences between the two SQL dialects."""

    port: int
    quote: str
    columns: Callable[[str], str]
    """Returns the query for the columns of a table with a quoted name."""
    checksum: Callable[[list[str]], str]
    """Returns an aggregate over the quoted columns that changes with any row."""


def _postgresql_columns(table: str) -> str:
    relation = table.replace("'", "''")
    return (
        f"SELECT attname::text AS name FROM pg_attribute WHERE attrelid = '{relation}'::regclass "
        "AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    )


def _mysql_columns(table: str) -> str:
    *schema, name = [part.strip("`").replace("'", "''") for part in table.split(".")]
    database = f"'{schema[0]}'" if schema else "DATABASE()"
    return (
        "SELECT CAST(column_name AS CHAR) AS name FROM information_schema.columns "
        f"WHERE table_schema = {database} AND table_name = '{name}' ORDER BY ordinal_position"
    )


def _mysql_checksum(columns: list[str]) -> str:
    texts = ", ".join(f"COALESCE(HEX({column}), '-')" for column in columns)
    return f"CAST(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS(',', {texts})), 15), 16, 10) AS UNSIGNED)) AS CHAR)"


_DIALECTS = {
    "postgresql": _Dialect(
        port=5432,
        quote='"',
        columns=_postgresql_columns,
        checksum=lambda columns: f"SUM(hashtextextended(ROW({', '.join(columns)})::text, 0)::numeric)::text",
    ),
    "mysql": _Dialect(port=3306, quote="`", columns=_mysql_columns, checksum=_mysql_checksum),
}


def find(table: Table) -> list[SourceFile]:
    """`contract.Store.find`: the server computes the checksum of the columns that are read."""
    source = table.source.database
    _require_server(source)
    dialect = _DIALECTS[source.kind]
    found = _query(source, dialect.columns(_quoted(source, source.table))).column("name").to_pylist()
    if not found:
        raise InputError(f"{source.label}: no such table; correct pipeline.{table.name}.database")
    require_columns(table, source.label, found)
    if source.key and source.key not in found:
        columns = ", ".join(map(repr, found))
        raise ConfigError(f"pipeline.{table.name}.database.key", source.key, f"one of the columns {columns}")
    read_columns = [_quoted_name(source, name) for name in _column_names(table)]
    query = f"SELECT COUNT(*) AS num_rows, {dialect.checksum(read_columns)} AS checksum {_from(source)}"
    [row] = _query(source, query).to_pylist()
    return [
        SourceFile(path=source.label, size=int(row["num_rows"]), modified=0.0, digest=fingerprint([row["checksum"]]))
    ]


def units(table: Table, _found: list[SourceFile], _engine: Engine) -> Iterator[ReadUnit]:
    """`contract.Store.units`: ranges of the key of equal width; rows without a key belong to the first one."""
    source = table.source.database
    if not source.key:
        yield ReadUnit(table=table.name, path=source.label, format="database")
        return
    key = _quoted_name(source, source.key)
    bounds = _query(source, f"SELECT MIN({key}) AS low, MAX({key}) AS high, COUNT(*) AS num_rows {_from(source)}")
    if not all(pa.types.is_integer(bounds.schema.field(name).type) for name in ("low", "high")):
        kind = bounds.schema.field("low").type
        raise ConfigError(f"pipeline.{table.name}.database.key", source.key, f"a whole-number column, not {kind}")
    [row] = bounds.to_pylist()
    low, high, num_rows = row["low"] or 0, row["high"] or 0, int(row["num_rows"])
    wanted = source.num_ranges or -(-num_rows // _ROWS_PER_RANGE)
    num_ranges = max(1, min(wanted, high - low + 1))
    edges = [low + (high + 1 - low) * n // num_ranges for n in range(num_ranges + 1)]
    for number, (begin, end) in enumerate(pairwise(edges)):
        # Bounded on both sides, so that rows added meanwhile, with larger keys, are left to the next run.
        selection = f"{key} >= {begin} AND {key} < {end}" + (f" OR {key} IS NULL" if number == 0 else "")
        size = num_rows // num_ranges * _BYTES_PER_ROW
        yield ReadUnit(table=table.name, path=source.label, format="database", selection=selection, size=size)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.Store.read`: in the order of the key, which is also the row number in messages."""
    source = table.source.database
    names = _column_names(table)
    wanted = list(dict.fromkeys([*names, source.key] if source.key else names))
    query = f"SELECT {', '.join(_quoted_name(source, name) for name in wanted)} {_from(source, unit.selection)}"
    if source.key:
        query += f" ORDER BY {_quoted_name(source, source.key)}"
    row = 1
    for batch in _batches(source, query, whole=bool(unit.selection)):
        # MySQL may write a column's name in another case than the query.
        batch = pa.RecordBatch.from_arrays(batch.columns, wanted)
        rows = _keys(batch.column(wanted.index(source.key))) if source.key else np.arange(row, row + batch.num_rows)
        row += batch.num_rows
        yield RawBatch(batch.select(names), rows)


def _column_names(table: Table) -> list[str]:
    return list(dict.fromkeys(column.source for column in table.columns))


def _keys(keys: pa.Array) -> npt.NDArray[np.int64]:
    """Row numbers from keys; 0 for a missing key."""
    return np.asarray(pc.cast(keys, pa.int64(), safe=False).fill_null(0), np.int64)


def _from(source: DatabaseSource, selection: str = "") -> str:
    conditions = [f"({condition})" for condition in (source.where, selection) if condition]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"FROM {_quoted(source, source.table)}{where}"


def _quoted(source: DatabaseSource, dotted: str) -> str:
    return ".".join(_quoted_name(source, part) for part in dotted.split("."))


def _quoted_name(source: DatabaseSource, name: str) -> str:
    mark = _DIALECTS[source.kind].quote
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"


def _require_server(source: DatabaseSource) -> None:
    """Fails at once if the server does not answer; the driver would retry for half a minute and log each failure."""
    parts = urlsplit(source.url)
    if not parts.hostname:
        return
    port = parts.port or _DIALECTS[source.kind].port
    try:
        socket.create_connection((parts.hostname, port), _CONNECT_SECONDS).close()
    except OSError as error:
        raise RecstackError(
            f"{parts.hostname}:{port}: the database server cannot be reached ({error}); start it or correct `url`"
        ) from error


def _query(source: DatabaseSource, query: str) -> pa.Table:
    """The result of a query about the table.

    Raises:
        InputError: the server refuses it.
    """
    try:
        return _fetch(source, query)
    except InputError:
        raise
    except RecstackError as error:
        raise InputError(str(error)) from error


def _batches(source: DatabaseSource, query: str, *, whole: bool) -> Iterator[pa.RecordBatch]:
    """Yields the rows of a query. `whole` fetches them at once, which lets other threads run meanwhile."""
    if whole:
        yield from _fetch(source, query).to_batches(_BATCH_ROWS)
        return
    with _reported(source):
        yield from _driver().read_sql(_url(source), query, return_type="arrow_stream", batch_size=_BATCH_ROWS)


def _fetch(source: DatabaseSource, query: str) -> pa.Table:
    with _reported(source):
        return _driver().read_sql(_url(source), query, return_type="arrow")


def _driver() -> ModuleType:
    # The driver would log the error that is raised here anyway.
    os.environ.setdefault("RUST_LOG", "off")
    return importlib.import_module("connectorx")


def _url(source: DatabaseSource) -> str:
    url = source.url_with_password()
    # The scheme's other spellings (`postgres`, `mariadb`) are unknown to the driver.
    return f"{source.kind}{url[url.index('://') :]}"


@contextlib.contextmanager
def _reported(source: DatabaseSource) -> Iterator[None]:
    """Turns the driver's errors into one line.

    Raises:
        RecstackError: the server rejects a query or closes the connection.
    """
    try:
        yield
    except BaseException as error:
        # The driver panics when a stream breaks off, which is not an `Exception`.
        known = isinstance(error, RuntimeError | OSError | pa.ArrowException) or type(error).__name__ == _PANIC
        if not known:
            raise
        raise RecstackError(f"{source.label}: the database refuses or broke off ({first_line(error)})") from error
