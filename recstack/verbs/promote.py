"""`recstack promote`: a canary becomes the stable version."""

from dataclasses import dataclass

from features.errors import InputError
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.retraining.release import newest_versions, promote


@dataclass(frozen=True, kw_only=True)
class PromoteArguments(StackArguments):
    """Moves the label `stable` to the newest version of each model; servers take it with their next configuration."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(PromoteArguments, "promote", arguments)
    promote_models(parsed.stack, Voice("promote", as_json=parsed.json))
    return 0


def promote_models(stack: StackConfig, voice: Voice) -> None:
    """Promotes the newest versions and says which labels moved.

    Raises:
        InputError: no model was ever published.
    """
    if not newest_versions(stack):
        raise InputError(f"{stack.layout.saved_models}: no published model found; run `recstack retrain`")
    moved = promote(stack)
    for model, (before, version) in moved.items():
        voice.progress(f"{model}: version {version} is stable{f' instead of {before}' if before else ''}")
    voice.result(
        f"{len(moved)} models promoted: {stack.layout.saved_models}" if moved else "nothing to do, no canary",
        {"models": {model: {"version": version, "instead_of": before} for model, (before, version) in moved.items()}},
    )
