"""The registry says of each run what it was made from and where it is served."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from features.disk.manifest import read_manifest
from features.errors import InputError
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.retraining.comparison import Difference, differences
from recstack.retraining.registry import find_run, registered_runs
from tests.recstack.retraining.evidence import RECORD


def test_a_run_tells_its_data_its_metrics_and_the_models_made_from_it(checkerboard: StackConfig) -> None:
    layout = checkerboard.layout
    dataset = read_manifest(layout.dataset.manifest, "dataset")
    (run,) = registered_runs(layout)
    assert run.id == layout.current_run.id
    assert run.is_current
    assert run.serves == checkerboard.export.models
    assert (run.dataset, run.counts, run.window) == (dataset.fingerprint(), dict(dataset.counts), ("", ""))
    assert run.seed == str(checkerboard.seed)
    assert tuple(run.stages) == checkerboard.stage_names
    metrics = json.loads(layout.current_run.stage("retrieval").metrics.read_text())["model"]["metrics"]
    assert run.stages["retrieval"].evaluation["recall@2"] == metrics["recall@2"]["value"]
    assert run.stages["ranking"].evaluation["label/auc"] > 0.5


def test_a_run_that_nothing_was_exported_from_serves_nothing(checkerboard: StackConfig, tmp_path: Path) -> None:
    unpublished = replace(checkerboard, workdir=tmp_path)
    shutil.copytree(checkerboard.layout.runs.root, unpublished.layout.runs.root)
    (run,) = registered_runs(unpublished.layout)
    assert run.serves == ()


def test_a_run_is_found_by_the_beginning_of_its_id(checkerboard: StackConfig) -> None:
    run = checkerboard.layout.current_run
    assert find_run(checkerboard.layout, run.id[:4]) == find_run(checkerboard.layout, "current") == run
    with pytest.raises(InputError, match=f"'none': no finished run has an id that starts so.*{run.id}"):
        find_run(checkerboard.layout, "none")


def test_where_no_run_was_published_the_finished_ones_are_named(checkerboard: StackConfig, tmp_path: Path) -> None:
    layout = replace(checkerboard, workdir=tmp_path).layout
    shutil.copytree(checkerboard.layout.runs.root, layout.runs.root)
    layout.runs.current_file.unlink()
    with pytest.raises(InputError, match=f"since none was published; name one of {checkerboard.layout.current_run.id}"):
        find_run(layout, "current")


def test_runs_lists_them_for_a_program(
    checkerboard: StackConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "stack.toml"
    config.write_text(checkerboard.to_toml())
    assert main(["runs", "--config", str(config), "--json"]) == 0
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert run["id"] == checkerboard.layout.current_run.id


def test_the_table_of_runs_fits_80_columns_and_cuts_no_word(
    checkerboard: StackConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "stack.toml"
    config.write_text(checkerboard.to_toml())
    assert main(["runs", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    (run,) = registered_runs(checkerboard.layout)
    table = shown.partition("runs: ")[0]
    assert max(map(len, table.splitlines())) <= 80
    metrics = run.stages["retrieval"].evaluation
    words = [run.id, run.dataset[:8], "current", *run.serves, *list(metrics)[:2], *run.trained[:16].split("T")]
    assert set(words) <= set(table.split())


def test_no_run_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--workdir", str(tmp_path)]) == 0
    assert "no finished run; run `recstack train`" in capsys.readouterr().out


def test_differences_are_the_leaves_that_differ() -> None:
    first = {"retrieval": {"epochs": 3, "encoder": {"kind": "mean"}}, "seed": 1}
    second = {"retrieval": {"epochs": 4, "encoder": {"kind": "mean"}}, "seed": 1, "workdir": "w"}
    assert list(differences(first, second)) == [
        Difference(name="retrieval.epochs", first=3, second=4),
        Difference(name="workdir", first=None, second="w"),
    ]


@pytest.mark.parametrize(
    ("outcome", "forced", "gate"),
    [
        ("refused", "", "refused by data, quality"),
        ("published", "a new shop", "published in spite of data, quality"),
        ("published", "it was good", "published again in spite of data, quality"),
    ],
)
def test_a_run_tells_what_the_gate_said(
    checkerboard: StackConfig, tmp_path: Path, outcome: Literal["refused", "published"], forced: str, gate: str
) -> None:
    stack = replace(checkerboard, workdir=tmp_path)
    shutil.copytree(checkerboard.layout.runs.root, stack.layout.runs.root)
    record = replace(
        RECORD,
        run=stack.layout.current_run.id,
        outcome=outcome,
        refused_by=("data", "quality"),
        forced=forced,
        earlier_rollbacks=("complaints",) if "again" in gate else (),
    )
    record.write(stack.layout.retrainings.retraining(record.id))
    (run,) = registered_runs(stack.layout)
    assert (run.parent, run.retraining, run.gate) == (RECORD.parent, RECORD.id, gate)
