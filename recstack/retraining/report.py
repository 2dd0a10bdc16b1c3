"""`report.html` of a retraining: what it was made from, what the gate measured, how long the steps took."""

from collections.abc import Iterator
from html import escape

from features.disk.layout import RetrainingLayout
from recstack.retraining.gate.check import Check
from recstack.retraining.gate.decision import Decision
from recstack.retraining.record import RetrainingRecord
from recstack.retraining.samples import Samples, SampleUser, read_samples
from trainer.evaluation.html import write_page

_STYLE = """<style>
table.gate td, table.gate th:nth-child(2) { text-align: left; vertical-align: top; }
table.gate tr.refused td { background: #fee2e2; }
table.gate td:nth-child(3), table.gate td:nth-child(4) { text-align: right; white-space: nowrap; }
div { overflow-x: auto; } h4 { margin: 0; } ol { margin: 4px 0; padding-left: 28px; } li { overflow-wrap: anywhere; }
@media (max-width: 600px) {
  table.gate tbody { display: block; } table.gate tr:first-child { display: none; }
  table.gate tr { display: grid; grid-template: "rule verdict" "what what" "value threshold" / 1fr auto; }
  table.gate tr { border-top: 1px solid #e5e7eb; padding: 6px 0; } table.gate td { border: 0; }
  table.gate td:nth-child(1) { grid-area: rule; font-weight: bold; } table.gate td:nth-child(2) { grid-area: what; }
  table.gate td:nth-child(3) { grid-area: value; text-align: left; }
  table.gate td:nth-child(4) { grid-area: threshold; }
  table.gate td:nth-child(5) { grid-area: verdict; text-align: right; }
}
.lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: 4px 24px; }
</style>"""

# Titles of a history that are named.
_NAMED = 8


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
        *_samples(read_samples(layout.samples)),
        layout.run_details.read_text("utf-8") if layout.run_details.exists() else "",
        f"<h2>What it was made from</h2>{_table(_lineage(record))}",
        f"<h2>Time</h2>{_table((step, f'{seconds:,.1f} s') for step, seconds in record.seconds.items())}",
    ]
    write_page(f"Retraining {record.id}: {record.outcome}", parts, layout.report)


def _verdict(record: RetrainingRecord, decision: Decision) -> str:
    refused = ", ".join(decision.refused_by)
    if record.outcome == "refused":
        return f"Refused by <b>{refused}</b>. The live models stay."
    models = escape(", ".join(f"{model} {version}" for model, version in record.published.items()))
    again = (
        f" again after a rollback ({escape('; '.join(record.earlier_rollbacks))})" if record.earlier_rollbacks else ""
    )
    spite = f" in spite of <b>{refused}</b>" if refused else ""
    because = f", because: {escape(record.forced)}" if again or spite else ""
    back = f" Rolled back since: {escape(record.rolled_back)}." if record.rolled_back else ""
    return f"Published{again}{spite}{because}: {models}.{back}"


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


def _samples(samples: Samples | None) -> Iterator[str]:
    """The lists of both models side by side; what the user interacted with next is marked, as is what is new."""
    if samples is None:
        return
    yield (
        f"<h2>Sample users</h2><p>What {samples.model} recommends to some users of the newest test window. "
        "<mark>Marked</mark> is what they interacted with next, <b>bold</b> what the live model does not show them.</p>"
    )
    for user in samples.users:
        before = _list(samples, user, user.before)
        head = f"<div class='lists'><div><h4>Live model</h4>{before}</div><div>" if user.before else "<div><div>"
        yield (
            f"<h3>{escape(user.name)}</h3><p><small>Before: {_titles(samples, user.history) or 'nothing'}.<br>"
            f"Next: {_titles(samples, user.wanted)}.</small></p>"
            f"{head}<h4>New model</h4>{_list(samples, user, user.after)}</div></div>"
        )


def _titles(samples: Samples, items: tuple[str, ...]) -> str:
    more = f" and {len(items) - _NAMED:,} more" if len(items) > _NAMED else ""
    return escape(", ".join(samples.title(item) for item in items[:_NAMED])) + more


def _list(samples: Samples, user: SampleUser, items: tuple[str, ...]) -> str:
    def entry(item: str) -> str:
        title = escape(samples.title(item))
        title = f"<mark>{title}</mark>" if item in user.wanted else title
        return f"<li>{f'<b>{title}</b>' if user.before and item not in user.before else title}</li>"

    return f"<ol>{''.join(map(entry, items))}</ol>"


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
