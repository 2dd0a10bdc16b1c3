"""Publishes staged models, as the newest ones or as a canary, and promotes a canary."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from features.disk.files import exclusive
from features.disk.layout import ModelName
from features.errors import RecstackError
from recstack import stages
from recstack.config import StackConfig
from recstack.retraining.work import Work


class LiveModelsChangedError(RecstackError):
    """Other models are live than those that the gate compared with."""


def publish_staged(work: Work, is_judged: Callable[[], bool]) -> None:
    """Publishes each staged model that is not live yet.

    All files are in place before the first version appears, so that the models change within moments of each other. A
    rollback waits for these moments, and what was rolled back before them is seen.

    Args:
        work: the retraining.
        is_judged: whether the gate compared the staged models with those that are live now.

    Raises:
        LiveModelsChangedError: it did not; nothing is published.
        RecstackError: the lease is lost or the disk fails; models that are published by then stay.
    """
    from trainer.export.publish import discard, stage_copy
    from trainer.export.saving import publish_version

    stack, staged = work.stack, work.layout.staged
    if stack.retrain.publication == "canary":
        _keep_stable(stack)
    copies = {
        model: stage_copy(staged.model(model).version(version), stack.layout.model(model))
        for model, version in work.staged_versions().items()
        if not work.is_live(model)
    }
    with changing_models(stack):
        work.lease.require()
        if not is_judged():
            for copy in copies.values():
                discard(copy)
            raise LiveModelsChangedError("other models are live than those that the gate compared with")
        for model, copy in copies.items():
            work.report(f"{model}: version {publish_version(copy)} published")
        settle_publication(work)


def changing_models(stack: StackConfig) -> AbstractContextManager[None]:
    """Keeps retrainings and rollbacks on this machine apart, for the moments in which the newest versions change."""
    directory = stack.layout.retrainings.root
    # Where nothing was ever retrained nothing is being published, and no folder is made.
    return exclusive(directory, "recstack", wait=True) if directory.is_dir() else nullcontext()


def settle_publication(work: Work) -> None:
    """What follows here once every model is published: labels, old versions, the servers' files, the current run."""
    from trainer.export.labels import set_stable, stable_version
    from trainer.export.saving import prune
    from trainer.export.server_files import write_server_files

    stack = work.stack
    if stack.retrain.publication == "newest":
        set_stable(stack.layout, newest_versions(stack))
    else:
        _keep_stable(stack)  # of a first model, which has no other to be stable
    for model in stack.export.models:
        spared = stable_version(stack.layout, model)
        prune(stack.layout.model(model), stack.export.keep_versions, work.report, [] if spared is None else [spared])
    write_server_files(stack.layout, stack.export)
    stages.make_run_current(stack, work.report)


def _keep_stable(stack: StackConfig) -> None:
    """Lets the newest version be the stable one of each model that has none."""
    from trainer.export.labels import set_stable, stable_version

    missing = {
        model: version
        for model, version in newest_versions(stack).items()
        if stable_version(stack.layout, model) is None
    }
    if missing:
        set_stable(stack.layout, missing)


def newest_versions(stack: StackConfig) -> dict[ModelName, int]:
    """The newest published version of each exported model that has one."""
    found: dict[ModelName, int] = {}
    for model in stack.export.models:
        current = stack.layout.model(model).current
        if current is not None:
            found[model] = current
    return found


def live_versions(stack: StackConfig) -> dict[ModelName, int]:
    """The version of each exported model that most requests are answered by: the newest, or the stable one."""
    from trainer.export.labels import stable_version

    newest = newest_versions(stack)
    if stack.retrain.publication == "newest":
        return newest
    return {model: stable_version(stack.layout, model) or version for model, version in newest.items()}


def canary_versions(stack: StackConfig) -> dict[ModelName, int]:
    """The version of each exported model that the label `canary` names."""
    from trainer.export.labels import canary_version

    return {model: canary_version(stack.layout, model) for model in newest_versions(stack)}


def canaries(stack: StackConfig) -> dict[ModelName, int]:
    """The stable version of each model that has another one as its canary."""
    canary = canary_versions(stack)
    return {model: version for model, version in live_versions(stack).items() if version != canary[model]}


def promote(stack: StackConfig, report: stages.Report = stages.silent) -> dict[ModelName, tuple[int | None, int]]:
    """Lets the label `stable` name what the label `canary` names.

    Returns:
        The stable version before, if there was one, and the one now, of each model whose label moves.
    """
    from trainer.export.labels import set_stable, stable_version
    from trainer.export.mirror import settle_models

    canary = canary_versions(stack)
    before = {model: stable_version(stack.layout, model) for model in canary}
    set_stable(stack.layout, canary)
    settle_models(stack.layout, stack.export, report)
    return {model: (before[model], version) for model, version in canary.items() if before[model] != version}
