"""`report.html` of a retraining: what it was made from, what the gate measured, how long the steps took."""

from collections.abc import Iterator
from html import escape

from features.disk.layout import RetrainingLayout
from recstack.retraining.gate.check import Check
from recstack.retraining.gate.decision import Decision
from recstack.retraining.record import RetrainingRecord
from trainer.evaluation.html import write_page

_STYLE = """<style>
table.gate td { text-align: left; vertical-align: top; } table.gate tr.refused td { background: #fee2e2; }
table.gate td:nth-child(3), table.gate td:nth-child(4) { text-align: right; white-space: nowrap; }
div { overflow-x: auto; }
</style>"""


def write_retraining_report(layout: RetrainingLayout, record: RetrainingRecord, decision: Decision) -> None:
    """Writes the report.

    Args:
        layout: the retraining's directory.
        record: what it did.
        decision: what the gate said.
    """
    parts = [
        _STYLE,
        f"<p>{_verdict(record, decision)}</p>",
        f"<h2>The gate</h2><p>Asked {decision.queries:,} queries of the newest test window. {_beside(decision)}</p>",
        _checks(decision.checks),
        f"<h2>What it was made from</h2>{_table(_lineage(record))}",
        f"<h2>Time</h2>{_table((step, f'{seconds:,.1f} s') for step, seconds in record.seconds.items())}",
    ]
    write_page(f"Retraining {record.id}: {record.outcome}", parts, layout.report)


def _verdict(record: RetrainingRecord, decision: Decision) -> str:
    refused = ", ".join(decision.refused_by)
    if record.outcome == "refused":
        return f"Refused by <b>{refused}</b>. The live models stay."
    models = escape(", ".join(f"{model} {version}" for model, version in record.published.items()))
    forced = f" in spite of <b>{refused}</b>, because: {escape(record.forced)}" if refused else ""
    return f"Published{forced}: {models}."


def _beside(decision: Decision) -> str:
    if not decision.live:
        return "There was no live model to compare with."
    return "The models are compared with the live ones over the same queries."


def _checks(checks: tuple[Check, ...]) -> str:
    rows = (
        f"<tr class='{check.verdict}'><td>{escape(check.rule)}</td>"
        f"<td>{escape(check.what)}<br><small>{escape(check.detail)}</small></td><td>{check.measured:.4g}</td>"
        f"<td>{check.bound} {check.threshold:.4g}</td><td>{check.verdict}</td></tr>"
        for check in checks
    )
    head = "<tr><th>rule</th><th>measured</th><th>value</th><th>threshold</th><th>verdict</th></tr>"
    return f"<div><table class='gate'>{head}{''.join(rows)}</table></div>"


def _lineage(record: RetrainingRecord) -> Iterator[tuple[str, str]]:
    yield "started", record.began
    yield "dataset", record.dataset
    if any(record.window):
        yield "window", " to ".join(record.window)
    yield "run", record.run
    yield "run before", record.parent or "none"
    yield "version of recstack", record.code


def _table(rows: Iterator[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{body}</table>"
