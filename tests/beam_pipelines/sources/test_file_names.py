"""Files, folders and patterns: what belongs to a table, and the columns that folders' names hold."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from beam_pipelines.sources import files
from beam_pipelines.sources.file_names import files_of, partition_values
from features.errors import InputError
from tests.beam_pipelines.sources.text_tables import csv_text, read, table_of

NAMES = ["user", "item"]
HALVES = ([["u1", "1"], ["u2", "2"]], [["u3", "3"]])
LEFT_BY_OTHERS = ["_SUCCESS", ".part-0.csv.crc", "_temporary/part-9.csv", ".hidden/part-9.csv", "_delta_log/0.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in LEFT_BY_OTHERS:
        (tmp_path / "log.csv" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "log.csv" / name).write_bytes(b"")
    for n, rows in enumerate(HALVES):
        (tmp_path / "log.csv" / f"part-{n}").write_text(csv_text([NAMES, *rows]))
    return tmp_path


@pytest.mark.parametrize(
    "pattern", ["log.csv", "log.csv/", "log.csv/*", "log.csv/part-*", "log.csv/**", "*.csv", "**/part-?"]
)
@pytest.mark.parametrize("relative", [True, False])
def test_what_others_left_is_no_part_of_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, relative: bool
) -> None:
    monkeypatch.chdir(folder)
    path = pattern if relative else f"{folder}/{pattern}"
    found = [file.path for file in files_of(path)]
    assert [os.path.relpath(name) for name in found] == ["log.csv/part-0", "log.csv/part-1"]
    assert read(Path(path), NAMES, format="csv").rows == [*HALVES[0], *HALVES[1]]


def test_parts_without_an_ending_are_of_their_folders_format(folder: Path) -> None:
    assert read(folder / "log.csv", NAMES).rows == [*HALVES[0], *HALVES[1]]


def test_a_hidden_file_that_is_named_is_read(tmp_path: Path) -> None:
    (tmp_path / "_log.csv").write_text(csv_text([NAMES, *HALVES[0]]))
    assert read(tmp_path / "_log.csv", NAMES).rows == HALVES[0]
    assert [file.path for file in files_of(f"{tmp_path}/_l*.csv")] == [f"{tmp_path}/_log.csv"]


@pytest.mark.parametrize("missing", ["none.csv", "none/*.csv", "gs/none"])
def test_a_path_without_a_file_is_told(tmp_path: Path, missing: str) -> None:
    with pytest.raises(InputError, match=r"pipeline\.items\.path = .*: no such file"):
        read(tmp_path / missing, NAMES)


def test_a_file_of_no_known_ending_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.log").write_text("x")
    with pytest.raises(
        InputError, match=r"t\.log: unknown file format; expected \.parquet, .* or the source's `format`"
    ):
        read(tmp_path / "t.log", NAMES)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_names_of_folders_are_columns(tmp_path: Path, ending: str) -> None:
    table = pa.table({"user": ["u1", "u2"], "item": ["1", "2"]})
    for day, shop in (("2026-11-01", "a b"), ("2026-11-02", "__HIVE_DEFAULT_PARTITION__")):
        place = tmp_path / "log" / f"dt={day}" / f"shop={shop.replace(' ', '%20')}"
        place.mkdir(parents=True)
        if ending == "parquet":
            pq.write_table(table, place / "t.parquet")
        elif ending == "csv":
            (place / "t.csv").write_text("user,item\nu1,1\nu2,2\n")
        else:
            (place / "t.jsonl").write_text('{"user": "u1", "item": "1"}\n{"user": "u2", "item": "2"}\n')
    found = read(tmp_path / "log", ["dt", "user", "shop"])
    by_name = [dict(zip(["user", "dt", "shop"], row, strict=True)) for row in found.rows]
    assert [row["user"] for row in by_name] == ["u1", "u2", "u1", "u2"]
    assert [row["dt"] for row in by_name] == ["2026-11-01"] * 2 + ["2026-11-02"] * 2
    assert [row["shop"] for row in by_name] == ["a b"] * 2 + [None] * 2
    nameless = table_of(tmp_path / "log", [])
    [unit, *_] = files.units(nameless, files.find(nameless))
    assert files.column_names(nameless, unit) == ["user", "item", "dt", "shop"]


def test_a_path_without_such_folders_has_no_columns() -> None:
    assert partition_values("a/b=c.csv") == {}
    assert partition_values("a/k=v/=w/b.csv") == {"k": "v"}
