"""Takes models back to a former version, and keeps the reason."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from features.disk.layout import ModelName
from recstack import stages
from recstack.config import StackConfig
from recstack.retraining.gate.decision import read_decision
from recstack.retraining.record import read_records, utc_now
from recstack.retraining.registry import served_runs
from recstack.retraining.release import canaries, changing_models, newest_versions
from recstack.retraining.report import write_retraining_report


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """One model after its rollback."""

    former: int
    """The version whose files are published again."""
    newest: int
    """The number that they have now."""
    stable: int
    """What the label `stable` names."""


def roll_back_models(
    stack: StackConfig,
    models: tuple[ModelName, ...],
    to: int | None = None,
    reason: str = "",
    report: stages.Report = stages.silent,
) -> dict[ModelName, RolledBack]:
    """Publishes a former version of each model again, and writes the reason into the record of its retraining.

    The run that all models are made from again is the current one then. A retraining at work does not hold it up: what
    that publishes later was compared with the models that are back.

    A canary goes back to the stable version. The label `stable` then stays, and `canary` names the stable version too,
    so that servers can follow at once; otherwise `stable` names the version that is published again.

    Args:
        stack: the configuration.
        models: which ones.
        to: version to go back to; without it the stable one of a canary, else the one before the newest.
        reason: why; may be empty.
        report: told in one line what is copied to the object store.

    Raises:
        InputError: a model has no such version, in which case no model is touched.
        RecstackError: the object store does not answer; the models are rolled back in the local folder.
    """
    from trainer.export.labels import set_stable
    from trainer.export.mirror import settle_models
    from trainer.export.rollback import former_version, roll_back

    with changing_models(stack):
        stable, refused = canaries(stack), newest_versions(stack)
        former = {model: former_version(stack.layout.model(model), to or stable.get(model)) for model in models}
        newest = {model: roll_back(stack.layout.model(model), version) for model, version in former.items()}
        moved = {model: newest[model] for model in models if stable.get(model) != former[model]}
        set_stable(stack.layout, moved)
    _note(stack, {model: refused[model] for model in models}, reason or "no reason given")
    _make_served_run_current(stack)
    settle_models(stack.layout, stack.export, report)
    return {
        model: RolledBack(former=former[model], newest=newest[model], stable=moved.get(model, former[model]))
        for model in models
    }


def _make_served_run_current(stack: StackConfig) -> None:
    """Lets `runs/current` name the run that all models are made from again, from which a warm night goes on."""
    served = served_runs(stack.layout)
    if len(served) == 1 and served[0] != stack.layout.runs.current:
        from trainer.training.runs import make_current  # TensorFlow takes its time, and the models are back by now

        make_current(stack.layout.runs, served[0])


def _note(stack: StackConfig, refused: Mapping[ModelName, int], reason: str) -> None:
    """Writes the reason into the record and the report of the retraining that published these versions, if one did."""
    for record in read_records(stack.layout.retrainings):
        if set(refused.items()) & set(record.published.items()):
            layout = stack.layout.retrainings.retraining(record.id)
            noted = replace(record, rolled_back=reason, updated=utc_now())
            noted.write(layout)
            decision = read_decision(layout.gate)
            if decision is not None:
                write_retraining_report(layout, noted, decision)
