"""`recstack promote`: a canary becomes the stable version, or is taken back where it does worse."""

from dataclasses import dataclass, field

from features.errors import InputError
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.retraining.release import newest_versions, promote

REFUSED = 3


@dataclass(frozen=True, kw_only=True)
class PromoteArguments(StackArguments):
    """Moves the label `stable` to the canary of each model; servers take it with their next configuration.

    With --watch the canary is compared with the stable version on the servers' metrics pages first, and taken back as
    soon as it fails more often or takes longer than [retrain.canary] allows.
    """

    watch: float | None = None
    """Minutes to watch the canary before."""
    page: tuple[str, ...] = field(default=())
    """Metrics pages of the servers that answer from the canary, such as
    http://host:8501/monitoring/prometheus/metrics."""
    stable_page: tuple[str, ...] = field(default=())
    """Metrics pages of those that answer from the stable version, if they are others."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code: 3 if the canary was taken back."""
    parsed = parse(PromoteArguments, "promote", arguments)
    voice = Voice("promote", as_json=parsed.json)
    if (parsed.watch is None) == bool(parsed.page):
        raise InputError(
            "--watch and --page: expected both or neither, such as --watch 30 --page http://host:8501/metrics"
        )
    if parsed.watch is None:
        promote_models(parsed.stack, voice)
        return 0
    if not parsed.watch > 0:
        raise InputError(f"--watch {parsed.watch:g}: expected more than 0 minutes")
    return watch_models(parsed, parsed.watch, voice)


def watch_models(arguments: PromoteArguments, minutes: float, voice: Voice) -> int:
    """Watches the canary, says how it ended and returns the exit code.

    Raises:
        InputError: there is no canary, or a page does not tell it apart.
        RecstackError: the canary could not be judged; labels stay as they are.
    """
    from recstack.retraining.watch import Pages, watch_canary  # reads metrics pages with the library of `serve`

    pages = Pages(canary=arguments.page, stable=arguments.stable_page)
    ended = watch_canary(arguments.stack, pages, minutes * 60, voice.progress)
    models = ", ".join(f"{model} {version}" for model, version in ended.versions.items())
    voice.result(
        f"{ended.outcome}, {models} stable: {ended.reason}",
        {"outcome": ended.outcome, "reason": ended.reason, "models": dict(ended.versions)},
    )
    return 0 if ended.outcome == "promoted" else REFUSED


def promote_models(stack: StackConfig, voice: Voice) -> None:
    """Promotes the canaries and says which labels moved.

    Raises:
        InputError: no model was ever published.
    """
    if not newest_versions(stack):
        raise InputError(f"{stack.layout.saved_models}: no published model found; run `recstack retrain`")
    moved = promote(stack, voice.progress)
    for model, (before, version) in moved.items():
        voice.progress(f"{model}: version {version} is stable{f' instead of {before}' if before else ''}")
    voice.result(
        f"{len(moved)} models promoted: {stack.layout.saved_models}" if moved else "nothing to do, no canary",
        {"models": {model: {"version": version, "instead_of": before} for model, (before, version) in moved.items()}},
    )
