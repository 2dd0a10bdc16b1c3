"""`recstack prepare`: raw tables in, a dataset directory out."""

from dataclasses import dataclass, replace
from typing import Annotated

import tyro
from rich.table import Table

from features.manifest import Manifest
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice


@dataclass(frozen=True, kw_only=True)
class PrepareArguments(StackArguments):
    """Turns raw interaction tables into a dataset directory of TFRecords."""

    first: Annotated[str, tyro.conf.arg(name="from", metavar="VALUE")] = ""
    """First of the interactions' partitioned folders, such as 2026-11-01 of dt=2026-11-01; overrides
    pipeline.interactions.first."""
    last: Annotated[str, tyro.conf.arg(name="to", metavar="VALUE")] = ""
    """Last of the folders, itself included; overrides pipeline.interactions.last."""

    @property
    def resolved(self) -> StackConfig:
        """The configuration with the range of folders."""
        given = {name: value for name in ("first", "last") if (value := getattr(self, name))}
        pipeline = self.stack.pipeline
        return replace(self.stack, pipeline=replace(pipeline, interactions=replace(pipeline.interactions, **given)))


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(PrepareArguments, "prepare", arguments)
    prepare(parsed.resolved, Voice("prepare", as_json=parsed.json))
    return 0


def prepare(stack: StackConfig, voice: Voice) -> Manifest:
    """Prepares the dataset and says where it is."""
    from beam_pipelines.prepare import prepare_dataset

    dataset = stack.layout.dataset
    manifest, nothing_to_do = prepare_dataset(
        stack.features, stack.pipeline, dataset, seed=stack.seed, progress=voice.progress
    )
    state = "nothing to do, up to date" if nothing_to_do else f"done in {manifest.seconds:.1f} s"
    voice.show(_table(manifest))
    voice.result(
        f"{state}: {dataset.root}",
        {"directory": str(dataset.root), "nothing_to_do": nothing_to_do, "counts": dict(manifest.counts)},
    )
    return manifest


def _table(manifest: Manifest) -> Table:
    table = Table(show_header=False)
    for name, count in manifest.counts.items():
        table.add_row(name.replace("_", " "), f"{count:,}")
    return table
