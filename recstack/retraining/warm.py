"""Which run a retraining goes on from, where `[retrain] warm_start` asks for it."""

from dataclasses import replace

from features.disk.manifest import read_manifest
from recstack.config import StackConfig


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
    if not set(stack.stage_names) <= set(current.finished()):
        return stack
    inputs = read_manifest(current.stage("retrieval").manifest, "run").inputs
    if inputs["dataset"] == stack.require_dataset().fingerprint():
        return replace(stack, start_from=inputs.get("start_from", ""))
    return replace(stack, start_from=current.id)
