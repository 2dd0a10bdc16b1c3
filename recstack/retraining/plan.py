"""What a retraining would do, and how long that took before; nothing is changed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast, get_args

from recstack import stages
from recstack.config import StackConfig
from recstack.retraining.gate.decision import read_decision
from recstack.retraining.lease import Lease, read_holder
from recstack.retraining.record import StepName, read_records, usual_seconds
from recstack.retraining.retrain import nothing_to_do, with_baselines
from recstack.retraining.steps import judged_fingerprints
from recstack.retraining.warm import retrained_stages, with_former_run
from recstack.retraining.work import Work


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One step of a retraining."""

    name: StepName
    is_due: bool
    """Whether it has something to do; that of a step after one that is due is taken for granted."""
    seconds: float | None
    """Its usual time, from earlier retrainings; None if there was none, 0 if it is not due."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The steps in order."""

    steps: tuple[PlannedStep, ...]
    held_by: str
    """Host and process of a retraining that is at work; empty if there is none."""
    outcome: str
    """Without a step that is due, why: the models are live, were refused or were rolled back; else empty."""


def plan_retraining(stack: StackConfig) -> Plan:
    """Looks which steps are due.

    Raises:
        InputError: the configuration or the tables are not as they must be.
    """
    usual = usual_seconds(read_records(stack.layout.retrainings))
    held_by, stack = _holder(stack), with_baselines(stack)
    steps, is_due = [], False
    due = _due(stack)
    for name in cast("tuple[StepName, ...]", get_args(StepName)):
        # The generator looks at what the steps before have made, so it is not asked once one of them is due.
        is_due = is_due or next(due)
        steps.append(PlannedStep(name=name, is_due=is_due, seconds=usual.get(name) if is_due else 0.0))
    return Plan(steps=tuple(steps), held_by=held_by, outcome="" if is_due else _outcome(_work(stack)))


def _outcome(work: Work) -> str:
    """Why no step is due: the models are live, were rolled back, or were refused by the gate."""
    if reason := nothing_to_do(work):
        return reason
    decision = read_decision(work.layout.gate)
    refused_by = ", ".join(decision.refused_by) if decision else ""
    return f"these data and settings were refused by {refused_by}; --force --reason publishes them"


def _holder(stack: StackConfig) -> str:
    holder = read_holder(stack.layout.retrainings.lease)
    if holder is None or holder.has_ended(stack.retrain.lease_seconds):
        return ""
    return f"{holder.host}, process {holder.pid}"


def _due(stack: StackConfig) -> Iterator[bool]:
    """Whether each step has something to do, in their order, as far as those before have not."""
    from beam_pipelines.prepare import is_prepared

    yield not is_prepared(stack.features, stack.pipeline, stack.layout.dataset, seed=stack.seed)
    yield not stages.is_trained(with_former_run(stack), retrained_stages(stack))
    work = _work(stack)
    yield not all(stages.is_evaluated(work.stack, name) for name in retrained_stages(stack))
    is_done = work.all_live() or bool(work.was_rolled_back())
    staged = work.layout.staged
    yield not is_done and not all(staged.model(model).versions() for model in stack.export.models)
    decision = read_decision(work.layout.gate)
    yield not is_done and not (decision and decision.still_holds(*judged_fingerprints(work)))
    yield not is_done and not (decision and decision.refused_by)


def _work(stack: StackConfig) -> Work:
    return Work(stack=with_former_run(stack), lease=Lease(stack.layout.retrainings.lease, ""))
