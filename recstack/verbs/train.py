"""`recstack train`: a dataset in, trained models out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import tyro

from features.disk.layout import StageName
from features.disk.manifest import Manifest
from features.errors import InputError
from recstack import stages
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig, require_strategy
from recstack.console import Voice, progress_bar
from recstack.launch import launch

if TYPE_CHECKING:
    from trainer.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class TrainArguments(StackArguments):
    """Trains the models on a prepared dataset; the same command again resumes what was interrupted."""

    stage: tyro.conf.Positional[StageName | Literal["all"]] = "all"
    """Which model."""
    launch: int = 0
    """Trains with so many workers on this machine (strategy `multi_worker_mirrored`); 0: in this process."""
    servers: int = 0
    """Parameter servers that `--launch` starts beside the workers and a coordinator (strategy `parameter_server`)."""
    profile: bool = False
    """Traces a few steps for TensorBoard, and says what a step spends its time on."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(TrainArguments, "train", arguments)
    if parsed.servers and not parsed.launch:
        raise InputError(f"--servers {parsed.servers}: expected --launch N beside it, the number of workers")
    if parsed.launch:
        rest = without_option(without_option(arguments, "--launch"), "--servers")
        _require_strategy(parsed)
        return launch(["train", *rest], parsed.launch, parsed.servers)
    voice = Voice("train", as_json=parsed.json)
    for stage in chosen(parsed.stack, parsed.stage):
        train(parsed.stack, stage, voice, profile=parsed.profile)
    return 0


def _require_strategy(parsed: TrainArguments) -> None:
    """Refuses before any process is started what parameter servers cannot train."""
    if parsed.servers > 0:
        stack = replace(parsed.stack, strategy="parameter_server")
        for stage in chosen(stack, parsed.stage):
            require_strategy(stack, stage, profile=parsed.profile)


def without_option(arguments: Sequence[str], name: str) -> list[str]:
    """The arguments without an option that has one value, `--name value` or `--name=value`.

    >>> without_option(["--launch", "2", "--json", "--launch=3"], "--launch")
    ['--json']
    """
    rest, given = [], iter(arguments)
    for argument in given:
        if argument == name:
            next(given, None)
        elif not argument.startswith(f"{name}="):
            rest.append(argument)
    return rest


def chosen(stack: StackConfig, choice: StageName | Literal["all"]) -> tuple[StageName, ...]:
    """The stages that the argument names."""
    return stack.stage_names if choice == "all" else (choice,)


def train(stack: StackConfig, stage: StageName, voice: Voice, *, profile: bool = False) -> Manifest:
    """Trains one stage and says where the run is."""
    with progress_bar(f"{stage}") as update:
        result = stages.train(stack, stage, shown(update), voice.progress, profile=profile)
    manifest, directory = result.manifest, result.directory
    state = "nothing to do, up to date" if result.nothing_to_do else f"done in {manifest.seconds:.1f} s"
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items())
    voice.result(
        f"{stage}: {state}: {directory} (validation: {metrics})",
        {
            "stage": stage,
            "directory": str(directory),
            "nothing_to_do": result.nothing_to_do,
            "validation": dict(manifest.metrics),
        },
    )
    return manifest


def shown(update: Callable[[int, int, str], None]) -> "Callable[[Progress], None]":
    """Shows a training's progress by `update(done, total, text)`."""

    def show(progress: "Progress") -> None:
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in progress.metrics.items())
        update(progress.step, progress.total_steps, f"epoch {progress.epoch}  loss {progress.loss:.4f}  {metrics}")

    return show
