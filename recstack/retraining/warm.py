"""Which stages a retraining trains, and which run it goes on from where `[retrain] warm_start` asks for it."""

from dataclasses import replace

from features.disk.layout import StageName
from features.disk.manifest import read_manifest
from recstack.config import StackConfig
from trainer.config.export import stages_needed


def retrained_stages(stack: StackConfig) -> tuple[StageName, ...]:
    """The stages that a retraining trains: those of the exported models, and those that the current run has besides.

    Retrieval is always among them, since the gate judges by its lists.
    """
    current = stack.layout.runs.current
    exported = stages_needed(stack.export.models, list_ranking=stack.list_ranking.enabled)
    wanted = {"retrieval", *exported, *(current.finished() if current is not None else ())}
    return tuple(name for name in stack.stage_names if name in wanted)


def with_former_run(stack: StackConfig) -> StackConfig:
    """The configuration that starts from the weights of the current run; call it once the dataset is prepared.

    A current run of this very dataset is this retraining's own, or was trained by hand: what it was started from is
    kept, so that the same call again finds the same run. Unchanged where the configuration names a run itself, does
    not ask for a warm start, or has stages that the current run lacks.

    Raises:
        InputError: the dataset or the current run cannot be read.
    """
    current = stack.layout.runs.current
    if not stack.retrain.warm_start or stack.start_from or current is None:
        return stack
    if not set(retrained_stages(stack)) <= set(current.finished()):
        return stack
    inputs = read_manifest(current.stage("retrieval").manifest, "run").inputs
    if inputs["dataset"] == stack.require_dataset().fingerprint():
        return replace(stack, start_from=inputs.get("start_from", ""))
    return replace(stack, start_from=current.id)
