"""The report shows what `metrics.json` says."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

from recstack.config import StackConfig
from trainer.evaluation.html import write_cascade_report, write_report

CURVE = [
    {"strength": 0.0, "ndcg": 0.3, "distance": 0.5, "genres": 2.0},
    {"strength": 0.5, "ndcg": 0.275, "distance": 0.8123, "genres": 3.2},
]

RANKER = {
    "importance": [
        {
            "group": "ease",
            "features": 7,
            "loss": {"value": 0.0412, "low": 0.0312, "high": 0.0512},
            "meaning": "Weights of <EASE>.",
        }
    ],
    "rules": {"text": "|--- ease_sum <= 1.50", "r_squared": 0.617, "rank_correlation": 0.8123, "lists": 200},
    "lists": 400,
    "cutoff": 10,
}


def test_every_model_metric_and_slice_of_an_evaluation_is_there(checkerboard: StackConfig) -> None:
    run = checkerboard.layout.current_run.stage("retrieval")
    result, page = json.loads(run.metrics.read_text()), run.report.read_text()
    by_cutoff, by_part = (ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    models = ["two_tower", *result["baselines"]]
    for plot in (by_cutoff, by_part):
        assert set(models) <= texts(plot)
    assert {"recall", "ndcg", "@2", "@5"} <= texts(by_cutoff)
    filled = {name: part for name, part in result["model"]["slices"].items() if part["num_queries"]}
    assert {f"{name} ({part['num_targets']:,} targets)" for name, part in filled.items()} <= texts(by_part)
    for row in (result["model"], *result["baselines"].values()):
        for name in ("recall@2", "hit_rate@5", "mrr@5", "map@5"):
            assert f"{row['metrics'][name]['value']:.4f}" in page
            assert f"{row['metrics'][name]['low']:.4f}-{row['metrics'][name]['high']:.4f}" in page
        for name in ("coverage@5", "gini@5", "novelty@5", "mean_popularity@5"):
            assert f"<td>{row['catalogue'][name]:.4f}</td>" in page


def test_the_same_metrics_give_the_same_bytes(checkerboard: StackConfig, tmp_path: Path) -> None:
    run = checkerboard.layout.current_run.stage("retrieval")
    write_report(json.loads(run.metrics.read_text()), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == run.report.read_bytes()


def test_the_report_of_the_cascade_says_what_is_served_and_what_each_task_gains(
    checkerboard: StackConfig, tmp_path: Path
) -> None:
    result = json.loads(checkerboard.layout.current_run.stage("retrieval").metrics.read_text())
    gain = {"value": 0.0312, "low": -0.0045, "high": 0.0678}
    of_task = {"ndcg@2": {"cascade": 0.5312, "retrieval": 0.5, "difference": gain}}
    for ranks, served in ((True, "the list ranker's order"), (False, "retrieval's order")):
        shown = {"ranks": ranks, "reason": "difference <0", "by_label": {"liked": of_task}}
        cascade = result | shown | {"diversity": {"mmr": CURVE}, "ranker": RANKER}
        write_cascade_report(cascade, tmp_path / "report.html")
        page = (tmp_path / "report.html").read_text()
        assert f"Served: {served} (difference &lt;0)" in page
        assert "Judged by positive liked alone" in page
        assert "<td>ndcg@2</td><td>0.5312</td><td>0.5000</td><td>+0.0312<br><small>-0.0045 to +0.0678</small>" in page
        assert f"{result['model']['metrics']['recall@2']['value']:.4f}" in page
        assert "<td>mmr 0.5</td><td>0.2750</td><td>0.812</td><td>3.20</td>" in page
        assert "<td>ease</td><td>7</td><td>+0.0412<br><small>+0.0312 to +0.0512</small></td>" in page
        assert "<li><b>ease</b>: Weights of &lt;EASE&gt;.</li>" in page
        assert "<pre>|--- ease_sum &lt;= 1.50</pre>" in page
        assert "200 lists of other users the rules explain 62% of the scores' variance" in page
        assert {"mmr", "0.5", "mean distance of the items of a list"} <= texts(
            ElementTree.fromstring(re.findall(r"<svg.*?</svg>", page, re.DOTALL)[-1])
        )


def texts(svg: ElementTree.Element) -> set[str]:
    return {"".join(element.itertext()).strip() for element in svg.iter("{http://www.w3.org/2000/svg}text")}
