"""Each format gives the same rows; what is not a row, or not the format, is told with its place."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from beam_pipelines.config import TableSource
from beam_pipelines.engine import Engine
from beam_pipelines.passes.typed_columns import validate
from beam_pipelines.sources import files
from beam_pipelines.sources.contract import ReadUnit
from beam_pipelines.sources.formats import delimited, json_objects
from beam_pipelines.sources.table_origin import find_origin, read_origin
from beam_pipelines.sources.tables import Column, Table
from beam_pipelines.workspace import Workspace
from features.errors import InputError

_COLUMNS = (
    Column(name="user_id", source="user", kind="id"),
    Column(name="timestamp", source="time", kind="time"),
    Column(name="price", source="price", kind="number"),
    Column(name="genres", source="genres", kind="list", separator="|"),
)
_ROWS = [
    {"user": "1", "time": 10, "price": 1.5, "genres": "a|b", "other": "x"},
    {"user": "2", "time": 11, "price": None, "genres": "", "other": "y"},
    {"user": "3", "time": 12, "price": 2.0, "genres": "c", "other": "z"},
]
_EXPECTED = {
    "user_id": ["1", "2", "3"],
    "timestamp": [10, 11, 12],
    "price": [1.5, None, 2.0],
    "genres": [["a", "b"], [], ["c"]],
}


def table_of(path: Path | str, **source: str) -> Table:
    return Table(name="items", source=TableSource(path=str(path), **source), columns=_COLUMNS, key="user_id")


def write(path: Path, rows: list[dict]) -> Path:
    name = path.name
    if ".parquet" in name:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
        return path
    if ".csv" in name or ".tsv" in name:
        separator = "\t" if ".tsv" in name else ","
        lines = [separator.join(rows[0])]
        lines += [separator.join("" if v is None else str(v) for v in row.values()) for row in rows]
    else:
        lines = [json.dumps(row) for row in rows]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(path: Path | str, **source: str) -> tuple[dict[str, list], list[dict]]:
    """Good rows by column, and rejects."""
    table = table_of(path, **source)
    good, bad = [], []
    for unit in files.units(table, files.find(table)):
        for raw in files.read(table, unit):
            batch, rejects = validate(table, unit.path, raw)
            good.append(batch)
            bad += rejects.to_pylist()
    columns = pa.Table.from_batches(good).to_pydict()
    columns["price"] = [None if np.isnan(value) else value for value in columns["price"]]
    return columns, bad


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.csv.gz", "t.tsv", "t.jsonl", "t.jsonl.gz"])
def test_each_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    assert read(write(tmp_path / name, _ROWS)) == (_EXPECTED, [])


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_blocks_and_row_groups_do_not_show(tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (delimited, json_objects):
        monkeypatch.setattr(module, "_BLOCK_BYTES", 64)
    rows = [{"user": f"u{n}", "time": n, "price": n / 2, "genres": "a"} for n in range(100)]
    rows[70] |= {"user": None}
    columns, rejects = read(write(tmp_path / f"t.{ending}", rows))
    assert columns["user_id"] == [f"u{n}" for n in range(100) if n != 70]
    assert [(r["row"], r["reason"]) for r in rejects] == [(71, "user_id is missing")]


def test_a_pattern_reads_its_files_in_order_of_their_names(tmp_path: Path) -> None:
    for day in (2, 1):
        (tmp_path / f"day={day}").mkdir()
        write(tmp_path / f"day={day}" / "t.csv", [_ROWS[0] | {"user": f"of day {day}"}])
    columns, _ = read(f"{tmp_path}/day=*/*.csv")
    assert columns["user_id"] == ["of day 1", "of day 2"]


@pytest.mark.parametrize(
    ("bounds", "days"),
    [
        ({}, ["01", "02", "03"]),
        ({"first": "2026-11-02"}, ["02", "03"]),
        ({"last": "2026-11-02"}, ["01", "02"]),
        ({"first": "2026-11-02", "last": "2026-11-02"}, ["02"]),
    ],
)
def test_a_range_of_partitioned_folders_is_read(tmp_path: Path, bounds: dict[str, str], days: list[str]) -> None:
    for day in ("01", "02", "03"):
        (tmp_path / f"dt=2026-11-{day}").mkdir()
        write(tmp_path / f"dt=2026-11-{day}" / "t.csv", [_ROWS[0] | {"user": day}])
    assert read(f"{tmp_path}/dt=*/*.csv", **bounds)[0]["user_id"] == days


def test_a_range_needs_folders_that_lie_in_it(tmp_path: Path) -> None:
    (tmp_path / "dt=2026-11-01").mkdir()
    write(tmp_path / "dt=2026-11-01" / "t.csv", _ROWS)
    write(tmp_path / "t.csv", _ROWS)
    with pytest.raises(InputError, match=r"none of 1 files lies in a folder from '2026-12-01' to 'the last'"):
        read(f"{tmp_path}/dt=*/*.csv", first="2026-12-01")
    with pytest.raises(InputError, match=r"they go from '2026-11-01' to '2026-11-01'"):
        read(f"{tmp_path}/dt=*/*.csv", last="2026-10-31")
    with pytest.raises(InputError, match=r"t\.csv: `first` and `last` need folders such as dt="):
        read(tmp_path / "t.csv", last="2026")


@pytest.mark.parametrize("bound", ["20261101", "2026-11-1", "2026-11", "01.11.2026", "yesterday"])
@pytest.mark.parametrize("option", ["first", "last"])
def test_a_bound_is_written_as_the_folders_are(tmp_path: Path, option: str, bound: str) -> None:
    (tmp_path / "dt=2026-11-01").mkdir()
    write(tmp_path / "dt=2026-11-01" / "t.csv", _ROWS)
    with pytest.raises(InputError, match=rf"`{option}` .* is '{bound}', but .* such as '2026-11-01'"):
        read(f"{tmp_path}/dt=*/*.csv", **{option: bound})


def test_malformed_csv_rows_are_told_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('user,time,price,genres\n1,10,,\n2,11\n"3\n3",12,,\n4,13,,,,\n5,x,,\n')
    columns, rejects = read(path)
    assert columns["user_id"] == ["1"]
    assert [(r["row"], r["reason"], r["value"]) for r in rejects] == [
        (2, "2 fields, 4 expected", "2,11"),
        (4, "6 fields, 4 expected", "4,13,,,,"),
        (3, "user_id holds a line break", "3\n3"),
        (5, "timestamp is not a time of format 's'", "x"),
    ]


def test_lines_that_are_no_json_objects_are_told_with_their_number(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    lines = ['{"user": 1, "time": 10, "price": 1, "genres": ["a", null, ""]}', "{broken", "[1]", ""]
    lines += [
        '{"user": "x", "time": 11, "price": "dear", "genres": null}',
        '{"user": 2.0, "time": 12, "genres": ["b"]}',
    ]
    path.write_text("\n".join([*lines, '{"user": 9007199254740993, "time": 1, "price": 2, "genres": []}']))
    columns, rejects = read(path)
    assert columns["user_id"] == ["1", "2.0", "9007199254740993"]
    assert columns["genres"] == [["a"], ["b"], []]
    told = [(r["row"], r["reason"], r["value"]) for r in rejects]
    assert told == [
        (2, "not a JSON object", "{broken"),
        (3, "not a JSON object", "[1]"),
        (5, "price is not a number", "dear"),
    ]


def test_ids_keep_their_leading_zeros_and_dates_stay_texts(tmp_path: Path) -> None:
    for name in ("t.csv", "t.jsonl"):
        columns, _ = read(write(tmp_path / name, [_ROWS[0] | {"user": "007"}, _ROWS[1] | {"user": "2020-01-01"}]))
        assert columns["user_id"] == ["007", "2020-01-01"]


def test_bytes_that_are_no_utf_8_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"user,time,price,genres\ncaf\xe9,10,,\nok,11,,\n")
    columns, rejects = read(path)
    assert columns["user_id"] == ["ok"]
    assert [(r["row"], r["reason"]) for r in rejects] == [(1, "user_id is not UTF-8")]


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_a_missing_column_is_told_with_the_columns_there_are(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"users": "1", "time": 1, "price": 1.0, "genres": ""}])
    with pytest.raises(InputError, match=r"column 'user' is missing, .*'users'.*pipeline\.items\.columns"):
        read(path)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_an_empty_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=f"{name}: the file is empty"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
@pytest.mark.parametrize("data", ["user,time\n1,2\n".encode("utf-16-le"), b"PAR1" + bytes(range(200)), bytes(99)])
def test_what_is_no_text_is_told(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=f"{name}: is no text in utf-8 .*`encoding`, or its format by `format`"):
        read(tmp_path / name)


def test_a_header_that_is_no_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"us\xe9r,time,price,genres\n1,2,3,4\n")
    with pytest.raises(InputError, match=r"the header 'us.r,.* is not in utf-8; name the encoding"):
        read(tmp_path / "t.csv")


def test_a_column_that_is_there_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("user,time,price,genres,time\n1,2,3,4,5\n")
    with pytest.raises(InputError, match="there are 2 columns named 'time'"):
        read(tmp_path / "t.csv")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pipeline\.items\.path = .*no such file"):
        read(f"{tmp_path}/*.csv")
    with pytest.raises(InputError, match="no longer there"):
        list(files.read(table_of("x"), ReadUnit(table="items", path=str(tmp_path / "x"), format="csv")))


def test_an_unknown_format_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.log").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"unknown file format; expected \.parquet, .*`format`"):
        read(tmp_path / "t.log")


def test_a_named_format_overrules_the_ending(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.csv", _ROWS).rename(tmp_path / "t.txt"), format="csv") == (_EXPECTED, [])


def test_a_file_without_permission_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.csv", _ROWS)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"cannot be read .Permission denied"):
        read(path)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz"])
def test_a_truncated_gzip_file_is_told(tmp_path: Path, name: str) -> None:
    rows = [_ROWS[0] | {"user": str(n)} for n in range(5000)]
    path = write(tmp_path / name, rows)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=f"{name}: cannot be read as"):
        read(path)


def test_a_corrupt_parquet_page_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rows = [_ROWS[0] | {"user": str(n)} for n in range(5000)]
    pq.write_table(pa.Table.from_pylist(rows), path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[100:400] = bytes(300)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"t\.parquet: cannot be read as parquet"):
        read(path)


def test_what_is_no_parquet_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        read(tmp_path / "t.parquet")


def test_large_parquet_files_are_cut_by_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beam_pipelines.sources.formats.parquet._ROWS_PER_UNIT", 3)
    path = write(tmp_path / "t.parquet", _ROWS * 2)
    units = list(files.units(table_of(path), files.find(table_of(path))))
    assert [(unit.row_groups, unit.first_row) for unit in units] == [((0, 1), 1), ((2,), 5)]
    assert read(path)[0]["user_id"] == ["1", "2", "3"] * 2


def test_the_embedded_table_has_its_films_once() -> None:
    columns = (Column(name="item_id", source="movieId", kind="id"), Column(name="year", source="year", kind="number"))
    table = Table(name="items", source=TableSource(format="movielens"), columns=columns, key="item_id")
    [unit] = find_origin(table).units(Engine(workspace=Workspace(Path())))
    [raw] = read_origin(table, unit)
    batch, rejects = validate(table, unit.path, raw)
    assert (batch.num_rows, rejects.num_rows) == (9066, 0)
    assert batch.column("item_id")[0].as_py() == "31"
