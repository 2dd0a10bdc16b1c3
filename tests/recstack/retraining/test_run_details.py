"""The page of a run tells what changed, how it learnt and what it reached, and a retraining's page holds it too."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from features.disk.layout import RunLayout
from features.disk.manifest import read_manifest
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.retraining.gate.decision import Decision
from recstack.retraining.gate.table import judge
from recstack.retraining.run_details import write_run_report
from tests.recstack.retraining.evidence import GATE, RECORD, evidence

DRIFT = {
    "stability": {"genres": 0.05, "country": 0.31},
    "users": {"before": 1000, "now": 1100, "new": 0.2, "vanished": 0.1},
    "items": {"before": 10, "now": 10, "new": 0.0, "vanished": 0.0},
}


@pytest.fixture
def stack(checkerboard: StackConfig, tmp_path: Path) -> StackConfig:
    """The checkerboard's run in a folder of its own."""
    stack = replace(checkerboard, workdir=tmp_path / "work")
    shutil.copytree(checkerboard.layout.runs.root, stack.layout.runs.root)
    return stack


def with_drift(run: RunLayout) -> None:
    path = run.stage("retrieval").dataset.manifest
    replace(read_manifest(path, "dataset"), metrics={"drift": DRIFT}).write(path)


def rows_after(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table after a heading."""
    table = page.partition(heading)[2].partition("<table>")[2].partition("</table>")[0]
    return [
        ["".join(cell.itertext()) for cell in row]
        for row in ElementTree.fromstring(f"<t>{table.replace('<br>', ' ')}</t>")
    ]


@pytest.mark.slow
def test_the_verb_writes_the_page_of_a_run_that_was_trained_by_hand(
    stack: StackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    config = stack.workdir.parent / "stack.toml"
    config.write_text(stack.to_toml())
    run = stack.layout.current_run
    assert main(["report", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(run.report)
    page = run.report.read_text("utf-8")
    assert f"<title>Run {run.id}</title>" in page
    assert "There was none." in page
    for stage in ("retrieval", "ranking"):
        _, found, after = page.partition(f"<h2>Training of {stage}</h2>")
        assert found
        drawing = after.partition("</svg>")[0]
        assert ">loss<" in drawing
        assert ">step<" in drawing
    metrics = json.loads(run.stage("retrieval").metrics.read_text())["model"]["metrics"]
    name = next(iter(metrics))
    shown = {row[0]: row[1] for row in rows_after(page, "<h3>All metrics</h3>")[1:]}
    assert shown[name].startswith(f"{metrics[name]['value']:.4f}")


@pytest.mark.slow
def test_the_page_of_a_retraining_tells_what_changed_and_keeps_it(stack: StackConfig) -> None:
    run = stack.layout.current_run
    parent = stack.layout.runs.run("0123456789abcdef")
    shutil.copytree(run.root, parent.root)
    config = parent.stage("retrieval").config
    config.write_text(replace(stack, seed=stack.seed + 1).to_toml())
    with_drift(run)
    record = replace(RECORD, run=run.id, parent=parent.id, outcome="published", published={"retrieval": 2})
    layout = stack.layout.retrainings.retraining(record.id)
    layout.root.mkdir(parents=True)
    Decision(inputs={}, live={}, queries=8, checks=tuple(judge(evidence(), GATE))).write(layout.gate)
    curve = stack.layout.model("retrieval").extra(2).curve
    curve.parent.mkdir(parents=True)
    curve.write_text("<?xml version='1.0'?><svg id='curve'></svg>")

    assert write_run_report(stack.layout, run, record) == layout.report
    page = layout.report.read_text("utf-8")
    assert "<h2>The gate</h2>" in page
    seeds = [str(stack.seed + 1), str(stack.seed)]
    assert rows_after(page, "<h2>What changed") == [["", "before", "now"], ["seed", *seeds]]
    assert rows_after(page, "<h2>Drift") == [["feature", "index"], ["country", "0.3100"], ["genres", "0.0500"]]
    assert ["users", "1,000", "1,100", "20.0%", "10.0%"] in rows_after(page.partition("<h2>Drift")[2], "</table>")
    assert "<h2>Recall and latency of the index</h2><svg id='curve'></svg>" in page
    assert "<?xml" not in page
    assert page.count("<svg") > 1
    assert layout.run_details.read_text("utf-8") in page
