"""Each format gives the same rows, also of parts of structures; what is damaged is told in one line."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.sources import files
from beam_pipelines.sources.python_values import field_names
from features.errors import InputError
from tests.beam_pipelines.sources.text_tables import read, table_of

ROWS = [{"user": {"id": f"u{n % 3}", "age": n}, "item": f"i{n}", "note": f"naïve, {n}"} for n in range(30)]
EXPECTED = [[row["user"]["id"], row["item"], row["note"]] for row in ROWS]
NAMES = ["user.id", "item", "note"]

Write = Callable[[Path, list[dict[str, Any]]], None]


def write_feather(path: Path, rows: list[dict[str, Any]]) -> None:
    pyarrow.feather.write_feather(pa.Table.from_pylist(rows), str(path))


def write_stream(path: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


NESTED: Mapping[str, tuple[str, Write]] = {
    "parquet": ("parquet", lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=7)),
    "feather": ("feather", write_feather),
    "arrow stream": ("arrow", write_stream),
    "orc": ("orc", lambda path, rows: pyarrow.orc.write_table(pa.Table.from_pylist(rows), str(path))),
    "json lines": ("jsonl", write_lines),
    "json array": ("json", lambda path, rows: path.write_text(json.dumps(rows))),
    "indented array": (
        "json",
        lambda path, rows: path.write_text(json.dumps(rows, indent=2, ensure_ascii=False), "utf-8"),
    ),
    "indented objects": ("json", lambda path, rows: path.write_text("\n".join(json.dumps(r, indent=1) for r in rows))),
    "array by lines": ("json", lambda path, rows: path.write_text("[" + ",\n".join(map(json.dumps, rows)) + "]\n")),
    "wrapped array": ("json", lambda path, rows: path.write_text(json.dumps({"count": 30, "rows": rows}))),
    "python's notation": ("json", lambda path, rows: path.write_text("".join(f"{row!r}\n" for row in rows), "utf-8")),
    "utf-16": ("json", lambda path, rows: path.write_bytes(json.dumps(rows, ensure_ascii=False).encode("utf-16"))),
}


@pytest.mark.parametrize("kind", NESTED)
def test_parts_of_structures_are_columns(tmp_path: Path, kind: str) -> None:
    ending, write = NESTED[kind]
    path = tmp_path / f"t.{ending}"
    write(path, ROWS)
    found = read(path, NAMES)
    assert (found.rows, found.refused) == (EXPECTED, [])
    assert found.numbers == list(range(1, 31))
    nameless = table_of(path, [])
    [unit, *_] = files.units(nameless, files.find(nameless))
    assert files.column_names(nameless, unit) == ["user.id", "user.age", "item", "note"]


@pytest.mark.parametrize("kind", ["json lines", "json array", "indented objects"])
@pytest.mark.parametrize("role", ["user"])
def test_a_column_of_objects_is_told_with_its_parts(tmp_path: Path, kind: str, role: str) -> None:
    ending, write = NESTED[kind]
    write(tmp_path / f"t.{ending}", ROWS)
    with pytest.raises(InputError, match=r"column 'user' holds objects; .* such as c0 = 'user\.id' \(the parts are"):
        read(tmp_path / f"t.{ending}", [role])


def test_a_line_in_between_that_is_no_object_is_counted(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in ROWS]
    lines[4], lines[20] = lines[4][:-3], "[1, 2]"
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    found = read(tmp_path / "t.jsonl", NAMES)
    assert found.num_lines == 30
    assert [(row, reason) for row, reason, _ in found.refused] == [(5, "not a JSON object"), (21, "not a JSON object")]


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_an_array_that_breaks_off_ends_the_run_with_its_line(tmp_path: Path, cut: int) -> None:
    (tmp_path / "t.json").write_text(json.dumps(ROWS, indent=2)[:-cut])
    with pytest.raises(InputError, match=r"t\.json: line \d+: cannot be read as JSON"):
        read(tmp_path / "t.json", NAMES)


def test_an_entry_of_an_array_that_is_no_object_is_counted(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps([*ROWS[:5], 7, None, *ROWS[5:]]))
    found = read(tmp_path / "t.json", NAMES)
    assert (len(found.rows), [row for row, _, _ in found.refused]) == (30, [6, 7])


def test_the_first_sheet_of_a_spreadsheet_is_a_table(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"user": [1, 2, None], "when": [pd.Timestamp("2026-11-01"), pd.Timestamp("2026-11-02 03:04:05"), None]}
    )
    frame["word"] = ["a", "7", ""]
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    found = read(tmp_path / "t.xlsx", ["user", "word", "when"])
    assert [row[:2] for row in found.rows] == [[1.0, "a"], [2.0, "7"]]
    assert [str(row[2]) for row in found.rows] == ["2026-11-01 00:00:00", "2026-11-02 03:04:05"]


def test_a_sheet_of_nothing_has_no_rows(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match="column 'user' is missing"):
        read(tmp_path / "t.xlsx", ["user"])


@pytest.mark.parametrize("ending", ["parquet", "feather", "orc", "xlsx", "csv.gz", "jsonl.zst", "csv.zip", "csv.xz"])
@settings(max_examples=25, deadline=None)
@given(data=st.binary(min_size=1, max_size=80))
def test_a_damaged_file_is_an_error_for_the_user(
    tmp_path_factory: pytest.TempPathFactory, ending: str, data: bytes
) -> None:
    magic = {"gz": b"\x1f\x8b", "zst": b"\x28\xb5\x2f\xfd", "zip": b"PK\x03\x04", "xz": b"\xfd7zXZ\x00"}
    path = tmp_path_factory.mktemp("damaged") / f"t.{ending}"
    path.write_bytes(magic.get(ending.rpartition(".")[2], b"") + data)
    with pytest.raises(InputError):
        read(path, ["user"])


@pytest.mark.parametrize(
    ("objects", "names"),
    [
        ([{"user": None}, {"user": {"id": 1}}], ["user.id"]),
        ([{"user": {"id": 1, "home": {"city": "x"}}}, {"user": {"home": None}}], ["user.id", "user.home.city"]),
        ([{"user": 1, "user.id": 2}], ["user", "user.id"]),
        ([{"user": {}}, {"user": None}], ["user"]),
    ],
)
def test_an_object_that_is_missing_somewhere_is_no_column(objects: list[dict[str, object]], names: list[str]) -> None:
    assert field_names(objects) == names
