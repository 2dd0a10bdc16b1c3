"""`recstack prepare` as a nightly job calls it."""

import json
import shutil
from pathlib import Path

import pytest
from pyarrow import csv, parquet

from recstack.__main__ import main
from recstack.config import parse_config
from tests.servers.object_store import BUCKET, s3_server

_CONFIG = """
workdir = {workdir}
[[features.query]]
kind = "history"
[[features.query]]
kind = "id"
name = "user_id"
[[features.candidate]]
kind = "id"
name = "item_id"
[pipeline.interactions]
path = {path}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    for day in range(1, 6):
        folder = tmp_path / "logs" / f"dt=2026-11-{day:02d}"
        folder.mkdir(parents=True)
        # Four rows a day, five on the fourth and fourteen on the fifth: the sum tells which days were read.
        rows = [f"u{n % 2},i{n % 3 + day},{1_793_491_200 + 86_400 * day + n}" for n in range(10**day // 10**4 + 4)]
        (folder / "part.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    text = _CONFIG.format(workdir=json.dumps(str(tmp_path)), path=json.dumps(f"{tmp_path}/logs/dt=*/*.csv"))
    path = tmp_path / "stack.toml"
    path.write_text(text)
    return path


@pytest.mark.slow
def test_from_and_to_choose_folders(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    window = ["--from", "2026-11-02", "--to", "2026-11-04"]
    assert main(["prepare", "--config", str(config), "--json", *window]) == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts["interactions_read"] == 4 + 4 + 5
    # The configuration that it prints is the one that it used: its dataset is up to date.
    with pytest.raises(SystemExit):
        main(["prepare", "--config", str(config), "--print-config", *window])
    printed = capsys.readouterr().out
    assert parse_config(printed).pipeline.interactions.first == "2026-11-02"
    config.write_text(printed, encoding="utf-8")
    assert main(["prepare", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nothing_to_do"]


def test_a_window_without_folders_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "--config", str(config), "--from", "2026-12-01"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "none of 5 files lies in a folder from '2026-12-01' to 'the last'" in error


def test_the_splits_are_shown_and_the_report_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # One event of the first day occurs twice, one has no item.
    part = config.parent / "logs" / "dt=2026-11-01" / "part.csv"
    header, *rows = part.read_text().splitlines()
    part.write_text("\n".join([header, *rows, rows[0], "u1,,1793491200"]) + "\n")
    half = ["--pipeline.max-reject-ratio", "0.5"]
    assert main(["prepare", "--config", str(config), "--from", "2026-11-01", "--to", "2026-11-03", *half]) == 0
    said = capsys.readouterr()
    assert [line.split("│")[1].strip() for line in said.out.splitlines() if line.startswith("│")] == [
        "train",
        "validation",
        "test",
    ]
    assert "rows read: 14 interactions; items in the catalogue: 5" in said.err
    assert "left out: 1 equal events" in said.err
    assert "rows refused: 1 interactions: item_id is missing" in said.err
    assert f"for a browser: {config.parent}/dataset/report.html" in said.err


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_in_an_object_store_are_those_of_the_disk(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    def counts(path: str, workdir: str) -> dict[str, int]:
        text = _CONFIG.format(workdir=json.dumps(str(tmp_path / workdir)), path=json.dumps(path))
        config.write_text(text, encoding="utf-8")
        assert main(["prepare", "--config", str(config), "--json", "--from", "2026-11-02"]) == 0
        return dict(json.loads(capsys.readouterr().out)["counts"])

    for part in (tmp_path / "logs").glob("*/part.csv"):
        if suffix == "parquet":
            parquet.write_table(csv.read_csv(part), part.with_suffix(".parquet"))
            part.unlink()
    pattern = f"logs/dt=*/*.{suffix}"
    with s3_server() as bucket:
        shutil.copytree(tmp_path / "logs", bucket / "logs")
        assert counts(f"s3://{BUCKET}/{pattern}", "there") == counts(f"{tmp_path}/{pattern}", "here")
        assert main(["prepare", "--config", str(config), "--json", "--from", "2026-11-02"]) == 0
        assert json.loads(capsys.readouterr().out)["nothing_to_do"]
