"""`recstack rollback`: a former version of the SavedModels becomes the newest again."""

from dataclasses import dataclass, field

import tyro

from features.disk.layout import ModelName
from features.errors import InputError
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.retraining.rollback import roll_back_models


@dataclass(frozen=True, kw_only=True)
class RollbackArguments(StackArguments):
    """Publishes a former version under the next number; servers take it at their next look."""

    models: tyro.conf.Positional[tuple[ModelName, ...]] = field(default=())
    """Which models; without any, every exported one."""
    to: int | None = None
    """The version to go back to, of one model. Without it, the stable one if the newest is a canary, else the one
    before the newest."""
    reason: str = ""
    """Why; it is kept in the record of the retraining that published the models."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(RollbackArguments, "rollback", arguments)
    rollback(parsed.stack, parsed.models, parsed.to, parsed.reason, Voice("rollback", as_json=parsed.json))
    return 0


def rollback(
    stack: StackConfig, models: tuple[ModelName, ...], to: int | None, reason: str, voice: Voice
) -> dict[ModelName, int]:
    """Rolls models back and says which version is now the newest of each; returns these.

    Raises:
        InputError: a model has no such version, in which case no model is touched.
    """
    chosen = models or stack.export.models
    if to is not None and len(chosen) != 1:
        raise InputError(f"--to {to}: one model expected, {', '.join(chosen)} found; versions count for each by itself")
    rolled = roll_back_models(stack, chosen, to, reason, voice.progress)
    for model, back in rolled.items():
        voice.progress(f"{model}: version {back.newest} is version {back.former} again")
    voice.result(
        f"{len(rolled)} models rolled back: {stack.layout.saved_models}",
        {"models": {model: {"version": back.newest, "of": back.former} for model, back in rolled.items()}},
    )
    return {model: back.newest for model, back in rolled.items()}
