"""`recstack retrain`: new data in, models that passed the gate out."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import tyro
from rich.table import Table

from features.errors import InputError
from features.serialization import unstructure
from recstack.arguments import parse
from recstack.config import StackConfig
from recstack.console import Voice, progress_bar
from recstack.retraining.gate.check import Check
from recstack.retraining.plan import Plan, plan_retraining
from recstack.retraining.release import canaries
from recstack.retraining.retrain import Retrained, retrain
from recstack.verbs.prepare import PrepareArguments
from recstack.verbs.train import shown

_REFUSED = 3


@dataclass(frozen=True, kw_only=True)
class RetrainArguments(PrepareArguments):
    """Prepares, trains, evaluates, exports, judges and publishes; the same command again goes on where it ended."""

    dry_run: Annotated[bool, tyro.conf.arg(name="dry-run")] = False
    """Only say which steps are due, and how long they took before."""
    force: bool = False
    """Publish even what the gate refuses or what was rolled back; needs --reason."""
    reason: str = ""
    """Why; it is kept in the record of the retraining."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code: 3 if the gate refused the models."""
    parsed = parse(RetrainArguments, "retrain", arguments)
    voice = Voice("retrain", as_json=parsed.json)
    if parsed.force != bool(parsed.reason.strip()):
        raise InputError('--force and --reason: expected both or neither, such as --force --reason "new shop opened"')
    if parsed.dry_run:
        show_plan(parsed.resolved, voice)
        return 0
    return run_retraining(parsed.resolved, voice, forced=parsed.reason.strip())


def show_plan(stack: StackConfig, voice: Voice) -> Plan:
    """Shows the steps that are due and their usual times; returns them.

    Raises:
        InputError: the configuration or the tables are not as they must be.
    """
    plan = plan_retraining(stack)
    table = Table("step", "due", "usual time")
    for step in plan.steps:
        table.add_row(step.name, "yes" if step.is_due else "no", _duration(step.seconds) if step.is_due else "")
    voice.show(table)
    if plan.held_by:
        voice.progress(f"another retraining is at work: {plan.held_by}")
    if plan.outcome:
        voice.progress(plan.outcome)
    known = [step.seconds for step in plan.steps if step.seconds is not None]
    due = [step.name for step in plan.steps if step.is_due]
    total = f"about {sum(known):.0f} s" if len(known) == len(plan.steps) else "time not known before a first retraining"
    voice.result(
        f"{', '.join(due)}: {total}" if due else "nothing to do",
        {"steps": [asdict(step) for step in plan.steps], "held_by": plan.held_by, "outcome": plan.outcome},
    )
    return plan


def _duration(seconds: float | None) -> str:
    return "not known" if seconds is None else f"{seconds:.0f} s"


def run_retraining(stack: StackConfig, voice: Voice, *, forced: str) -> int:
    """Retrains, shows what the gate said and where the models are; returns the exit code.

    Raises:
        InputError: the configuration or the data are not as they must be, or another retraining is at work.
        RecstackError: the work failed; the live models are as they were.
    """
    with _stopped_as_by_ctrl_c(), progress_bar("train") as update:
        done = retrain(stack, forced=forced, report=voice.progress, training_progress=shown(update))
    if done.decision is not None and not done.nothing_to_do:
        voice.show(_table(done.decision.checks))
    voice.result(_summary(done, is_canary=bool(canaries(stack))), _as_json(done))
    return _REFUSED if done.record.outcome == "refused" and not done.nothing_to_do else 0


@contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """Lets a scheduler's SIGTERM give the lease back: it ends a process without a word, or not at all as process 1."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _table(checks: tuple[Check, ...]) -> Table:
    table = Table("rule", "measured", "value", "threshold", "verdict", title="The gate", title_justify="left")
    for check in checks:
        table.add_row(
            check.rule,
            f"{check.what}\n{check.detail}".rstrip(),
            f"{check.measured:.4g}",
            f"{check.bound} {check.threshold:.4g}",
            check.verdict,
            style=None if check.passed else "red",
        )
    return table


def _summary(done: Retrained, *, is_canary: bool) -> str:
    record = done.record
    if done.nothing_to_do:
        return f"nothing to do: {done.nothing_to_do}; retraining {record.id}"
    if record.outcome == "refused":
        return (
            f"refused by {', '.join(record.refused_by)}: nothing was published; see {done.layout.report}, or publish "
            "with --force --reason"
        )
    models = ", ".join(f"{model} {version}" for model, version in record.published.items())
    again = " again after a rollback" if record.earlier_rollbacks else ""
    spite = f" in spite of {', '.join(record.refused_by)}" if record.refused_by else ""
    because = f" ({record.forced})" if again or spite else ""
    label = " as canary, which `recstack promote` makes stable" if is_canary else ""
    return f"published{again}{spite}{because}{label}: {models}; retraining {record.id} of run {record.run}"


def _as_json(done: Retrained) -> Mapping[str, Any]:
    checks = [
        {**unstructure(check), "verdict": check.verdict} for check in (done.decision.checks if done.decision else ())
    ]
    return {
        "nothing_to_do": bool(done.nothing_to_do),
        "reason": done.nothing_to_do,
        "record": unstructure(done.record),
        "gate": checks,
    }
