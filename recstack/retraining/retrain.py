"""`retrain`: new data in, better models out, or nothing changed and a reason why."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from features.disk.layout import RetrainingLayout
from features.disk.manifest import producer_versions
from features.errors import RecstackError, first_line
from recstack import stages
from recstack.config import StackConfig
from recstack.retraining.gate.decision import Decision, read_decision
from recstack.retraining.lease import held_lease
from recstack.retraining.record import Attempt, RetrainingRecord, StepName, read_record, read_records, utc_now
from recstack.retraining.release import LiveModelsChangedError, newest_versions, settle_publication
from recstack.retraining.run_details import write_run_report
from recstack.retraining.steps import STEPS
from recstack.retraining.tracking import log_retraining, require_mlflow
from recstack.retraining.warm import with_former_run
from recstack.retraining.work import Work

if TYPE_CHECKING:
    from trainer.training.progress import ProgressCallback

# After the preparation. Before these are done, nobody knows which retraining it is.
_BEFORE_THE_RECORD: tuple[StepName, ...] = ("train", "evaluate")
_AFTER_THE_RECORD: tuple[StepName, ...] = ("export", "gate", "publish")


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """How a retraining ended."""

    layout: RetrainingLayout
    """Its directory."""
    record: RetrainingRecord
    """What it did."""
    decision: Decision | None
    """What the gate said; None where it had nothing to judge."""
    nothing_to_do: str = ""
    """Why nothing was exported and judged; empty if it was."""


def retrain(
    stack: StackConfig,
    *,
    forced: str = "",
    report: Callable[[str], None] = stages.silent,
    training_progress: "ProgressCallback" = stages.silent,
) -> Retrained:
    """Runs the steps that are not done yet; the same call again goes on where a killed one was.

    Args:
        stack: the configuration, with the window of data.
        forced: why the models are published even if the gate refuses them, or if they were rolled back; empty to
            keep to both.
        report: told in one line what is being done.
        training_progress: called about once a second while a stage is trained.

    Raises:
        InputError: the configuration or the data are not as they must be, or another retraining is at work.
        RecstackError: the work failed, and the live models are as they were; or they are published, and the object
            store could not be brought up to date.
    """
    began = utc_now()
    require_mlflow(stack)
    with held_lease(stack.layout.retrainings.lease, stack.retrain.lease_seconds) as lease:
        work = Work(
            stack=with_baselines(stack),
            lease=lease,
            report=report,
            training_progress=training_progress,
            forced=forced,
        )
        clock = _Clock(work)
        try:
            done = _run_steps(work, clock, began)
        except BaseException as error:
            reason, name = first_line(error), clock.work.layout.id if clock.step in _AFTER_THE_RECORD else ""
            ended = utc_now()
            _note(
                work,
                Attempt(began=began, ended=ended, outcome="failed", step=clock.step, retraining=name, error=reason),
            )
            raise
        outcome = "nothing to do" if done.nothing_to_do else done.record.outcome
        assert outcome != "unfinished", "all steps are done"
        _note(
            work,
            Attempt(began=began, ended=utc_now(), outcome=outcome, step=clock.step, retraining=done.record.id),
        )
        return done


def with_baselines(stack: StackConfig) -> StackConfig:
    """Compares with the gate's baselines, else with those of the evaluation, and at least with popularity."""
    if not stack.gate.baselines.enabled:
        return stack
    names = stack.gate.baselines.names or stack.evaluation.baselines.names or ("popularity",)
    baselines = replace(stack.evaluation.baselines, names=names)
    return replace(stack, evaluation=replace(stack.evaluation, baselines=baselines))


def _note(work: Work, attempt: Attempt) -> None:
    """Appends the attempt to their log; a disk that takes no more does not hide how it ended."""
    try:
        attempt.append(work.stack.layout.retrainings)
    except OSError as error:
        work.report(f"{work.stack.layout.retrainings.attempts}: cannot be written ({error.strerror})")


def _run_steps(work: Work, clock: "_Clock", began: str) -> Retrained:
    _mend_store(work)
    parent = work.stack.layout.runs.current
    clock.run("prepare")
    clock.work = work = replace(work, stack=with_former_run(work.stack))
    for step in _BEFORE_THE_RECORD:
        clock.run(step)
    record = _record(work, began, parent.id if parent and parent != work.run else "", clock)
    if reason := nothing_to_do(work):
        return _done(work, record, reason)
    record.write(work.layout)
    clock.run("export")
    record, decision = _judge_and_publish(work, record, clock)
    record = replace(record, seconds=dict(clock.seconds), updated=utc_now())
    record.write(work.layout)
    write_run_report(work.stack.layout, work.run, record)
    _track(work, record, decision)
    prune_retrainings(work.stack, work.report)
    if record.outcome == "published":
        _copy_to_store(work)
    return Retrained(layout=work.layout, record=record, decision=decision)


def _judge_and_publish(work: Work, record: RetrainingRecord, clock: "_Clock") -> tuple[RetrainingRecord, Decision]:
    """Publishes the staged models if the gate lets them pass; judges again after a rollback in the meantime."""
    while True:
        clock.run("gate")
        decision = read_decision(work.layout.gate)
        if decision is None:
            raise RecstackError(f"{work.layout.gate}: cannot be read; run `recstack retrain` again")
        record = replace(record, refused_by=decision.refused_by, forced=work.forced)
        if decision.refused_by and not work.forced:
            return replace(record, outcome="refused"), decision
        record.write(work.layout)  # the reason, for a call that goes on where this one is killed
        try:
            clock.run("publish")
        except LiveModelsChangedError as changed:
            work.report(f"publish: {changed}; the gate judges again")
        else:
            return _published(work, record), decision


def _mend_store(work: Work) -> None:
    """Finishes an interrupted copy to the object store, and finds out before the work whether the store can be used."""
    if work.stack.export.publish_to:
        from trainer.export.mirror import push_models

        push_models(work.stack.layout, work.stack.export, work.report)


def _copy_to_store(work: Work) -> None:
    """Brings the object store up to date; this comes last, so that a store that fails undoes nothing of the night.

    Raises:
        RecstackError: the store does not answer.
    """
    from trainer.export.mirror import settle_models

    settle_models(work.stack.layout, work.stack.export, work.report)


def _track(work: Work, record: RetrainingRecord, decision: Decision) -> None:
    """Logs to MLflow; a tracking server that is down does not undo the night."""
    try:
        log_retraining(work.stack, work.layout, record, decision)
    except RecstackError as error:
        work.report(f"not logged: {error}")


@dataclass
class _Clock:
    """Runs steps and remembers how long those took that had something to do."""

    work: Work
    step: StepName | Literal[""] = ""
    """The last step that began."""
    seconds: dict[StepName, float] = field(default_factory=dict)

    def run(self, step: StepName) -> None:
        self.work.lease.require()
        self.step, started = step, time.monotonic()
        nothing_to_do = STEPS[step](self.work)
        elapsed = time.monotonic() - started
        if not nothing_to_do:
            self.seconds[step] = round(elapsed, 2)
        self.work.report(f"{step}: {'nothing to do' if nothing_to_do else f'done in {elapsed:.1f} s'}")


def _record(work: Work, began: str, parent: str, clock: _Clock) -> RetrainingRecord:
    """The record of the retraining with these inputs, or a new one."""
    known = read_record(work.layout)
    if known is not None:
        clock.seconds = {**known.seconds, **clock.seconds}
        return known
    interactions = work.stack.pipeline.interactions
    return RetrainingRecord(
        id=work.layout.id,
        began=began,
        updated=utc_now(),
        run=work.run.id,
        parent=parent,
        dataset=work.stack.require_dataset().fingerprint(),
        window=(interactions.first, interactions.last),
        code=producer_versions()["recstack"],
    )


def nothing_to_do(work: Work) -> str:
    """Why there is nothing to export and to judge: these models are live, or were taken back by a person."""
    rolled_back = work.was_rolled_back()
    if rolled_back and not work.forced:
        return f"{', '.join(rolled_back)} of these data and settings were rolled back; --force publishes them again"
    return "the live models were made from these data and settings" if work.all_live() else ""


def _done(work: Work, record: RetrainingRecord, reason: str) -> Retrained:
    """Completes the record of a retraining that was killed after its last model was published."""
    if work.all_live() and (record.outcome != "published" or record.rolled_back):
        settle_publication(work)
        record = replace(_published(work, record), updated=utc_now())
        record.write(work.layout)
        _copy_to_store(work)
    return Retrained(layout=work.layout, record=record, decision=read_decision(work.layout.gate), nothing_to_do=reason)


def _published(work: Work, record: RetrainingRecord) -> RetrainingRecord:
    """The record with the versions that are live now; what was said of versions taken back before is kept beside."""
    back = (*record.earlier_rollbacks, *filter(None, [record.rolled_back]))
    versions = newest_versions(work.stack)
    return replace(record, outcome="published", published=versions, rolled_back="", earlier_rollbacks=back)


def prune_retrainings(stack: StackConfig, report: Callable[[str], None]) -> None:
    """Removes what is no longer needed of former retrainings; all records stay.

    These are the staged models of published retrainings, those of refused ones beyond the newest `keep_refused`, and
    what was kept of the datasets of versions that are gone.
    """
    retrainings = stack.layout.retrainings
    records = read_records(retrainings)
    published = [record for record in records if record.outcome == "published"]
    others = [record for record in records if record.outcome != "published"]
    for record in published:
        shutil.rmtree(retrainings.retraining(record.id).staged.saved_models, ignore_errors=True)
    for record in others[stack.retrain.keep_refused :]:
        models = retrainings.retraining(record.id).staged.saved_models
        if models.is_dir():
            shutil.rmtree(models)
            report(f"removed the models of retraining {record.id} (keep_refused = {stack.retrain.keep_refused})")
    for record in (*published[stack.export.keep_versions :], *others[stack.retrain.keep_refused :]):
        shutil.rmtree(retrainings.retraining(record.id).staged.dataset.root, ignore_errors=True)
