"""The steps of a retraining, in order; each finds what it has done before and then has nothing to do."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from features.disk.files import in_use, link_tree, staged_directory, write_text_atomically
from features.disk.layout import ModelName, Workdir
from features.disk.manifest import read_manifest
from features.errors import InputError
from features.schema import fingerprint
from features.serialization import unstructure
from recstack import stages
from recstack.retraining.gate.decision import Decision, read_decision
from recstack.retraining.record import StepName
from recstack.retraining.release import live_versions, publish_staged
from recstack.retraining.samples import shown_model, with_titles
from recstack.retraining.warm import retrained_stages
from recstack.retraining.work import Work


def prepare(work: Work) -> bool:
    """New data to a dataset; returns whether there was nothing to do, as the other steps."""
    return stages.prepare(work.stack, work.report).nothing_to_do


def train(work: Work) -> bool:
    """The dataset to a run; the current run stays current until the new one is published."""
    trained = [
        stages.train(work.stack, name, work.training_progress, work.report, current=False)
        for name in retrained_stages(work.stack)
    ]
    return all(result.nothing_to_do for result in trained)


def evaluate(work: Work) -> bool:
    """The run to metrics beside baselines."""
    evaluated = [stages.evaluate(work.stack, name, work.report) for name in retrained_stages(work.stack)]
    return all(result.nothing_to_do for result in evaluated)


def export(work: Work) -> bool:
    """The run to SavedModels in the retraining's own directory, where no server looks."""
    if work.all_live():
        return True
    from trainer.export.job import build_models
    from trainer.export.saving import publish_version
    from trainer.export.server_files import write_server_files

    with in_use(work.run.root):
        built = build_models(work.staged_job)
    for each in built:
        if each.staged is not None:
            publish_version(each.staged)
    write_server_files(work.layout.staged, work.stack.export)
    write_text_atomically(work.layout.config, work.stack.to_toml())
    _keep_snapshot(work)
    return all(each.staged is None for each in built)


def _keep_snapshot(work: Work) -> None:
    """Links what later data are compared with, since the next preparation replaces the dataset."""
    dataset, kept = work.stack.layout.dataset, work.layout.staged.dataset
    with staged_directory(kept.root) as staging:
        for path in (dataset.profile, dataset.values, dataset.manifest):
            if path.exists():
                link_tree(path, staging / path.name)


def gate(work: Work) -> bool:
    """The staged models beside the live ones; what the gate says is in `gate.json`."""
    if work.all_live():
        return True
    staged, live = work.staged_versions(), live_versions(work.stack)
    inputs, compared_with = judged_fingerprints(work)
    known = read_decision(work.layout.gate)
    if known is not None and known.still_holds(inputs, compared_with):
        return True
    from recstack.retraining.gate.measure import GateJob, gather
    from recstack.retraining.gate.table import judge

    job = GateJob(
        stack=work.stack,
        context=stages.stage_context(work.stack, work.run),
        staged=work.layout.staged,
        versions=staged,
        live={model: version for model, version in live.items() if model in compared_with},
        progress=work.report,
    )
    with in_use(work.run.root):
        evidence = gather(job)
    checks = tuple(judge(evidence, work.stack.gate))
    decision = Decision(inputs=inputs, live=compared_with, queries=len(evidence.targets), checks=checks)
    if evidence.users:
        samples = with_titles(shown_model(evidence.new), evidence.users, work.stack.features, work.stack.layout.dataset)
        samples.write(work.layout.samples)
    decision.write(work.layout.gate)
    return False


def judged_fingerprints(work: Work) -> tuple[dict[str, str], dict[str, str]]:
    """What the gate judges, the staged models and the settings, and the live models that it compares them with.

    Raises:
        InputError: a model is not staged.
    """
    settings = [unstructure(work.stack.gate), unstructure(work.stack.evaluation), work.stack.seed]
    staged = _fingerprints(work.layout.staged, work.staged_versions())
    return staged | {"settings": fingerprint(settings)}, _fingerprints(work.stack.layout, live_versions(work.stack))


def publish(work: Work) -> bool:
    """The staged models beside the live ones of the same name, under the next version number.

    Raises:
        LiveModelsChangedError: the gate compared them with others than those that are live.
    """
    if work.all_live():
        return True
    publish_staged(work, lambda: _is_judged(work))
    return False


def _is_judged(work: Work) -> bool:
    """Whether the gate compared the staged models with what is live now, which a rollback may have changed."""
    decision = read_decision(work.layout.gate)
    return decision is not None and decision.still_holds(*judged_fingerprints(work))


STEPS: Mapping[StepName, Callable[[Work], bool]] = {
    "prepare": prepare,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "gate": gate,
    "publish": publish,
}


def _fingerprints(workdir: Workdir, versions: Mapping[ModelName, int]) -> dict[str, str]:
    """What each version was made from, without versions that something else has published."""
    found: dict[str, str] = {}
    for model, version in versions.items():
        with suppress(InputError):
            found[model] = read_manifest(workdir.model(model).manifest(version), "saved_model").fingerprint()
    return found
