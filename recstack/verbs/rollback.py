"""`recstack rollback`: a former version of the SavedModels becomes the newest again."""

from dataclasses import dataclass, field

import tyro

from features.disk.layout import ModelName
from features.errors import InputError
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice


@dataclass(frozen=True, kw_only=True)
class RollbackArguments(StackArguments):
    """Publishes a former version under the next number; servers take it at their next look."""

    models: tyro.conf.Positional[tuple[ModelName, ...]] = field(default=())
    """Which models; without any, every exported one."""
    to: int | None = None
    """The version to go back to, of one model. Without it, the stable one if the newest is a canary, else the one
    before the newest."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(RollbackArguments, "rollback", arguments)
    rollback(parsed.stack, parsed.models, parsed.to, Voice("rollback", as_json=parsed.json))
    return 0


def rollback(stack: StackConfig, models: tuple[ModelName, ...], to: int | None, voice: Voice) -> dict[ModelName, int]:
    """Rolls models back and says which version is now the newest of each; returns these.

    Raises:
        InputError: a model has no such version, in which case no model is touched.
    """
    chosen = models or stack.export.models
    if to is not None and len(chosen) != 1:
        raise InputError(f"--to {to}: one model expected, {', '.join(chosen)} found; versions count for each by itself")
    from recstack.retraining.release import canaries
    from trainer.export.labels import set_stable
    from trainer.export.rollback import former_version, roll_back
    from trainer.export.server_files import write_server_files

    stable = canaries(stack)
    former = {model: former_version(stack.layout.model(model), to or stable.get(model)) for model in chosen}
    newest = {model: roll_back(stack.layout.model(model), version) for model, version in former.items()}
    set_stable(stack.layout, newest)
    write_server_files(stack.layout, stack.export)
    for model, version in newest.items():
        voice.progress(f"{model}: version {version} is version {former[model]} again")
    voice.result(
        f"{len(newest)} models rolled back: {stack.layout.saved_models}",
        {"models": {model: {"version": newest[model], "of": former[model]} for model in chosen}},
    )
    return newest
