"""One log and one catalogue, written in the many ways people write them, are the same rows to `prepare`."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.config import LabelConfig, PipelineConfig, TableSource
from beam_pipelines.config.source import IdRules
from beam_pipelines.passes.typed_columns import validate
from beam_pipelines.sources import files
from beam_pipelines.sources.tables import raw_tables
from features.schema import Schema
from features.spec.categorical import CategoricalFeature
from features.spec.ids import IdFeature
from features.spec.numeric import NumericFeature
from tests.beam_pipelines.sources.text_tables import COMPRESSIONS

SCHEMA = Schema(
    query=(IdFeature(name="user_id"),),
    candidate=(IdFeature(name="item_id"), CategoricalFeature(name="title"), NumericFeature(name="price")),
)
START = 1_700_000_000
LOG = pd.DataFrame(
    {
        "user_id": [f"u{n % 7}" for n in range(60)],
        "item_id": [n % 11 + 1 for n in range(60)],
        "timestamp": [START + 3601 * n for n in range(60)],
        "rating": [n % 5 + 0.5 for n in range(60)],
    }
)
ITEMS = pd.DataFrame(
    {
        "item_id": range(1, 12),
        "title": [f"Café, Nº {n} – 標題" if n % 2 else f'the "{n}"' for n in range(1, 12)],
        "price": [n * 1.25 for n in range(1, 12)],
    }
)
LATIN = ITEMS.assign(title=[f"Café Nº {n}" for n in range(1, 12)])

# Writes the log below a folder and returns the settings that read it.
Write = Callable[[Path], dict[str, Any]]


def times(place: Any, pattern: str) -> list[str]:
    return [datetime.fromtimestamp(second, place).strftime(pattern) for second in LOG["timestamp"]]


def csv(**options: Any) -> Callable[[Path, pd.DataFrame], str]:
    def write(path: Path, frame: pd.DataFrame) -> str:
        frame.to_csv(path, index=False, **options)
        return str(path)

    return write


def changed(settings: dict[str, Any], **columns: Any) -> Write:
    """A CSV file with some columns written otherwise."""
    return lambda folder: {"path": csv()(folder / "log.csv", LOG.assign(**columns))} | settings


def lines(rows: list[dict[str, Any]], dump: Callable[[Any], str] = json.dumps) -> str:
    return "".join(f"{dump(row)}\n" for row in rows)


def written(name: str, text: Callable[[], str | bytes], **settings: Any) -> Write:
    def write(folder: Path) -> dict[str, Any]:
        data = text()
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return {"path": str(folder / name)} | settings

    return write


def _by_pandas(name: str, write: Callable[[pd.DataFrame, Path], None]) -> Write:
    def write_log(folder: Path) -> dict[str, Any]:
        write(LOG, folder / name)
        return {"path": str(folder / name)}

    return write_log


def _parts(folder: Path) -> dict[str, Any]:
    for part in range(3):
        LOG[part * 20 : part * 20 + 20].to_parquet(folder / f"part-{part}.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.parquet.crc").write_bytes(b"x")
    return {"path": str(folder)}


def _by_day(folder: Path) -> dict[str, Any]:
    for user, rows in LOG.groupby("user_id"):
        (folder / f"who={user}").mkdir()
        rows.drop(columns="user_id").to_csv(folder / f"who={user}" / "log.csv", index=False)
    return {"path": str(folder), "columns": {"user_id": "who"}}


def _with_odd_rows(folder: Path) -> dict[str, Any]:
    words = ["NULL", "nan", "\\N", "None", "", "N/A"]
    odd = pd.DataFrame({"user_id": words, "item_id": 1, "timestamp": START, "rating": 1.0})
    return {"path": csv()(folder / "log.csv", pd.concat([LOG, odd]))}


def parquet(path: Path, rows: list[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


NESTED = [{"user": {"id": r["user_id"]}, "item": {"id": r["item_id"]}} | r for r in LOG.to_dict("records")]
RECORDS = LOG.to_dict("records")
NESTED_COLUMNS = {"columns": {"user_id": "user.id", "item_id": "item.id"}}

LOGS: Mapping[str, Write] = {
    "parquet": _by_pandas("log.parquet", lambda frame, path: frame.to_parquet(path)),
    "csv": changed({}),
    "feather": _by_pandas("log.feather", lambda frame, path: frame.to_feather(path)),
    "orc": _by_pandas("log.orc", lambda frame, path: frame.to_orc(path)),
    "excel": _by_pandas("log.xlsx", lambda frame, path: frame.to_excel(path, index=False)),
    "parts with what others left": _parts,
    "folders that name the user": _by_day,
    "semicolons": written("log.csv", lambda: LOG.to_csv(index=False, sep=";"), delimiter=";"),
    "decimal commas": written(
        "log.csv", lambda: LOG.to_csv(index=False, sep=";", decimal=","), delimiter=";", decimal=","
    ),
    "tabs": written("log.tsv", lambda: LOG.to_csv(index=False, sep="\t")),
    "tabs and a lone quote": written("log.tsv", lambda: LOG.assign(note='"x').to_csv(index=False, sep="\t", quoting=3)),
    "two colons, no header": written(
        "ratings.dat",
        lambda: "".join("::".join(map(str, row)) + "\n" for row in LOG.itertuples(index=False)),
        format="csv",
        delimiter="::",
        header=tuple(LOG.columns),
    ),
    "spaces after commas": written(
        "log.csv", lambda: LOG.to_csv(index=False).replace(",", ", "), ids=IdRules(strip=True)
    ),
    "everything quoted": written("log.csv", lambda: LOG.to_csv(index=False, quoting=1)),
    "utf-16": written("log.csv", lambda: LOG.to_csv(index=False).encode("utf-16")),
    "windows line ends": written("log.csv", lambda: LOG.to_csv(index=False, lineterminator="\r\n")),
    "lines above the header": written("log.csv", lambda: "export\n\n" + LOG.to_csv(index=False), skip=2),
    "json lines": written("log.jsonl", lambda: lines(RECORDS)),
    "json array": written("log.json", lambda: json.dumps(RECORDS)),
    "indented json": written("log.json", lambda: json.dumps(RECORDS, indent=2)),
    "python's notation": written("log.json", lambda: lines(RECORDS, repr)),
    "nested json": written("log.jsonl", lambda: lines(NESTED), **NESTED_COLUMNS),
    "nested parquet": lambda folder: {
        "path": parquet(folder / "log.parquet", NESTED),
        **NESTED_COLUMNS,
    },
    "words for missing users": _with_odd_rows,
    "items as floats": changed({"ids": IdRules(float_suffix="drop")}, item_id=LOG["item_id"].astype(float)),
    "items with zeros before": changed(
        {"ids": IdRules(leading_zeros="drop")}, item_id=[f"{item:06}" for item in LOG["item_id"]]
    ),
    "users in capitals": changed({"ids": IdRules(case="lower")}, user_id=LOG["user_id"].str.upper()),
    "ratings with a currency sign": changed({}, rating=[f"$ {rating:.2f}" for rating in LOG["rating"]]),
    "milliseconds": changed({"timestamp_format": "ms"}, timestamp=LOG["timestamp"] * 1000 + 7),
    "nanoseconds": changed({"timestamp_format": "ns"}, timestamp=LOG["timestamp"] * 10**9),
    "times with UTC": changed({"timestamp_format": "iso8601"}, timestamp=times(UTC, "%Y-%m-%d %H:%M:%S UTC")),
    "times with an offset": changed(
        {"timestamp_format": "iso8601"},
        timestamp=times(timezone(timedelta(hours=5, minutes=30)), "%Y-%m-%d %H:%M:%S%z"),
    ),
    "times with a zone's name": changed(
        {"timestamp_format": "iso8601"}, timestamp=times(ZoneInfo("Asia/Tokyo"), "%Y-%m-%dT%H:%M:%S Asia/Tokyo")
    ),
    "times of a place": changed(
        {"timestamp_format": "iso8601", "time_zone": "Asia/Tokyo"},
        timestamp=times(ZoneInfo("Asia/Tokyo"), "%Y-%m-%d %H:%M:%S"),
    ),
    "twitter's times": changed(
        {"timestamp_format": "%a %b %d %H:%M:%S %z %Y"}, timestamp=times(UTC, "%a %b %d %H:%M:%S +0000 %Y")
    ),
    "american times": changed(
        {"timestamp_format": "%m/%d/%Y %I:%M:%S %p"}, timestamp=times(UTC, "%m/%d/%Y %I:%M:%S %p")
    ),
}


def rows_of(name: str, interactions: dict[str, Any], items: dict[str, Any]) -> pa.Table:
    config = PipelineConfig(
        interactions=TableSource(**interactions),
        items=TableSource(**items),
        label=LabelConfig(rating_column="rating"),
        max_reject_ratio=0.5,
    )
    [table] = [table for table in raw_tables(SCHEMA, config) if table.name == name]
    found = []
    for unit in files.units(table, files.find(table)):
        found += [validate(table, unit.path, raw)[0] for raw in files.read(table, unit)]
    return pa.Table.from_batches(found)


EXPECTED_LOG = {
    "user_id": LOG["user_id"].tolist(),
    "item_id": LOG["item_id"].astype(str).tolist(),
    "timestamp": LOG["timestamp"].tolist(),
}


@pytest.mark.parametrize("way", LOGS)
def test_every_way_to_write_a_log_gives_its_events(tmp_path: Path, way: str) -> None:
    found = rows_of("interactions", LOGS[way](tmp_path), {"path": "items.csv"}).sort_by("timestamp")
    assert {name: found.column(name).to_pylist() for name in EXPECTED_LOG} == EXPECTED_LOG
    np.testing.assert_allclose(found.column(".rating").to_numpy(), LOG["rating"])


@pytest.mark.parametrize("ending", COMPRESSIONS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
def test_every_compression_and_encoding_gives_the_items(tmp_path: Path, ending: str, encoding: str) -> None:
    path = tmp_path / f"items.csv{ending}"
    path.write_bytes(COMPRESSIONS[ending](ITEMS.to_csv(index=False).encode(encoding)))
    found = rows_of("items", {"path": "log.csv"}, {"path": str(path)})
    assert sorted(found.column("title").to_pylist()) == sorted(ITEMS["title"])


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac-roman"])
def test_single_byte_encodings_give_the_items(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "items.csv").write_bytes(LATIN.to_csv(index=False).encode(encoding))
    found = rows_of("items", {"path": "log.csv"}, {"path": str(tmp_path / "items.csv"), "encoding": encoding})
    assert sorted(found.column("title").to_pylist()) == sorted(LATIN["title"])


@pytest.mark.parametrize("first", [2**53 + 1, 2**62])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_large_ids_are_exact_in_every_format(tmp_path: Path, first: int, ending: str) -> None:
    log = LOG.assign(item_id=[first + n for n in range(60)])
    path = tmp_path / f"log.{ending}"
    if ending == "csv":
        log.to_csv(path, index=False)
    elif ending == "jsonl":
        path.write_text(lines(log.to_dict("records")))
    else:
        log.to_parquet(path)
    found = rows_of("interactions", {"path": str(path)}, {"path": "items.csv"})
    assert sorted(found.column("item_id").to_pylist()) == sorted(str(first + n) for n in range(60))
