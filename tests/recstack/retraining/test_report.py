"""The report of a retraining holds every check with its verdict, and nothing that a name could smuggle in."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from features.disk.layout import RetrainingLayout
from recstack.retraining.gate.decision import Decision
from recstack.retraining.gate.table import judge
from recstack.retraining.record import RetrainingRecord
from recstack.retraining.report import write_retraining_report
from tests.recstack.retraining.evidence import FACTS, GATE, RECORD, evidence


def page(folder: Path, record: RetrainingRecord, decision: Decision) -> str:
    layout = RetrainingLayout(folder)
    write_retraining_report(layout, record, decision)
    return layout.report.read_text("utf-8")


def tables(text: str) -> list[list[list[str]]]:
    """The texts of all cells, by table and row."""
    found = []
    for table in text.split("<table")[1:]:
        root = ElementTree.fromstring("<table" + table.partition("</table>")[0].replace("<br>", " ") + "</table>")
        found.append([["".join(cell.itertext()) for cell in row] for row in root.iter("tr")])
    return found


def test_a_refused_night_shows_what_refused_it(tmp_path: Path) -> None:
    checks = tuple(judge(evidence(data=replace(FACTS, items=7)), GATE))
    decision = Decision(inputs={}, live={"retrieval": "a"}, queries=8, checks=checks)
    text = page(tmp_path, replace(RECORD, outcome="refused", refused_by=("data",)), decision)
    gate, lineage, seconds = tables(text)
    assert [row[0] for row in gate[1:]] == [check.rule for check in checks]
    (refused,) = [row for row in gate if row[-1] == "refused"]
    assert refused == [
        "data",
        "items of the catalogue, of the live model's 7 items, 10 in the live model",
        "0.7",
        "at least 0.8",
        "refused",
    ]
    assert ["window", "2026-10-01 to 2026-11-01"] in lineage
    assert seconds == [["train", "83.2 s"], ["gate", "12.0 s"]]
    assert "Refused by <b>data</b>" in text


def test_a_reason_is_shown_as_a_text(tmp_path: Path) -> None:
    decision = Decision(
        inputs={}, live={}, queries=8, checks=tuple(judge(evidence(data=replace(FACTS, items=7)), GATE))
    )
    record = replace(RECORD, outcome="published", forced="<script>", published={"retrieval": 2})
    text = page(tmp_path, record, decision)
    assert "Published in spite of <b>data</b>, because: &lt;script&gt;: retrieval 2." in text
    assert "There was no live model to compare with." in text


def test_models_that_were_taken_back_and_forced_show_both_reasons(tmp_path: Path) -> None:
    decision = Decision(inputs={}, live={}, queries=8, checks=tuple(judge(evidence(), GATE)))
    published = replace(RECORD, outcome="published", published={"retrieval": 2}, rolled_back="complaints <a>")
    assert "Published: retrieval 2. Rolled back since: complaints &lt;a&gt;." in page(tmp_path, published, decision)
    again = replace(
        published, published={"retrieval": 4}, rolled_back="", earlier_rollbacks=("complaints <a>",), forced="prices"
    )
    text = page(tmp_path, again, decision)
    assert "Published again after a rollback (complaints &lt;a&gt;), because: prices: retrieval 4." in text
    assert "Rolled back since" not in text
