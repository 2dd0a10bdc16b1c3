"""`recstack train`: a dataset in, trained models out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import tyro

from features.disk.files import exclusive, write_text_atomically
from features.disk.layout import Stage
from features.disk.manifest import Manifest
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice, progress_bar

if TYPE_CHECKING:
    from trainer.training.loop import Progress


@dataclass(frozen=True, kw_only=True)
class TrainArguments(StackArguments):
    """Trains the models on a prepared dataset; the same command again resumes what was interrupted."""

    stage: tyro.conf.Positional[Literal["retrieval", "ranking", "all"]] = "all"
    """Which model."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(TrainArguments, "train", arguments)
    voice = Voice("train", as_json=parsed.json)
    for stage in stages(parsed.stage):
        train(parsed.stack, stage, voice)
    return 0


def stages(choice: Literal["retrieval", "ranking", "all"]) -> tuple[Stage, ...]:
    """The stages that the argument names."""
    return ("retrieval", "ranking") if choice == "all" else (choice,)


def train(stack: StackConfig, stage: Stage, voice: Voice) -> Manifest:
    """Trains one stage and says where the run is."""
    stack.require_dataset()
    layout = stack.layout.stage(stage)
    with exclusive(layout.directory, "recstack train"), progress_bar(f"{stage}") as update:
        manifest, nothing_to_do = _train_stage(stack, stage, _shown(update))
        if not nothing_to_do or not layout.config.exists():
            write_text_atomically(layout.config, stack.to_toml())
    state = "nothing to do, up to date" if nothing_to_do else f"done in {manifest.seconds:.1f} s"
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items())
    voice.result(
        f"{stage}: {state}: {layout.directory} (validation: {metrics})",
        {
            "stage": stage,
            "directory": str(layout.directory),
            "nothing_to_do": nothing_to_do,
            "validation": dict(manifest.metrics),
        },
    )
    return manifest


def _train_stage(stack: StackConfig, stage: Stage, progress: "Callable[[Progress], None]") -> tuple[Manifest, bool]:
    from trainer.stage import train_ranking, train_retrieval

    dataset, run = stack.layout.dataset, stack.layout.stage(stage)
    strategy, seed = stack.strategy, stack.seed
    if stage == "retrieval":
        return train_retrieval(
            stack.features,
            dataset,
            run,
            stack.retrieval,
            evaluation=stack.evaluation,
            strategy=strategy,
            seed=seed,
            progress=progress,
        )
    return train_ranking(stack.features, dataset, run, stack.ranking, strategy=strategy, seed=seed, progress=progress)


def _shown(update: Callable[[int, int, str], None]) -> "Callable[[Progress], None]":
    def show(progress: "Progress") -> None:
        metrics = "  ".join(f"{name} {value:.4f}" for name, value in progress.metrics.items())
        update(progress.step, progress.total_steps, f"epoch {progress.epoch}  loss {progress.loss:.4f}  {metrics}")

    return show
