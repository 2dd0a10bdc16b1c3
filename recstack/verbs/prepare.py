"""`recstack prepare`: raw tables in, a dataset directory out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import tyro
from rich.table import Table

from features.disk.layout import SPLITS
from features.disk.manifest import Manifest
from recstack import stages
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice

_REJECTED = "rejected: "
# Counts of the manifest that are named only where they are not zero.
_LEFT_OUT = {
    "interactions_duplicates": "equal events",
    "near_duplicates": "repetitions within seconds",
    "bot_events": "events of bots",
    "outside_core": "events of rare users and items",
    "items_duplicates": "items with a repeated id",
    "users_duplicates": "users with a repeated id",
}


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
    result = stages.prepare(stack, voice.progress)
    manifest, dataset = result.manifest, stack.layout.dataset
    state = "nothing to do, up to date" if result.nothing_to_do else f"done in {manifest.seconds:.1f} s"
    voice.show(_splits_table(manifest.counts))
    pipeline = stack.pipeline
    from_log = pipeline.items.path == pipeline.interactions.path
    for line in (*_rows(manifest.counts, items_from_log=from_log), *manifest.notes):
        voice.progress(line)
    if dataset.report.exists():
        voice.progress(f"what the data looks like, for a browser: {dataset.report}")
    voice.result(
        f"{state}: {dataset.root}",
        {
            "directory": str(dataset.root),
            "nothing_to_do": result.nothing_to_do,
            "counts": dict(manifest.counts),
            "notes": list(manifest.notes),
        },
    )
    return manifest


def _splits_table(counts: Mapping[str, int]) -> Table:
    """How much of the log each split holds, and what the models learn or are judged by."""
    table = Table(title="What the splits hold", title_justify="left")
    table.add_column("split")
    for name in ("users", "events", "for retrieval", "for ranking"):
        table.add_column(name, justify="right")
    for split in SPLITS:
        keys = (f"users_{split}", f"events_{split}", f"targets: {split}", f"targets: ranking/{split}")
        table.add_row(split, *(f"{counts.get(key, 0):,}" for key in keys))
    return table


def _rows(counts: Mapping[str, int], *, items_from_log: bool = False) -> Iterator[str]:
    """What became of the tables' rows: of what was refused or left out only what there is."""
    tables = [table for table in ("interactions", "items", "users") if f"{table}_read" in counts]
    read = ", ".join(f"{counts[f'{table}_read']:,} {table}" for table in tables)
    yield f"rows read: {read}; items in the catalogue: {counts['candidates']:,}"
    for key, count in counts.items():
        if key.startswith(_REJECTED):
            yield f"rows refused: {count:,} {key.removeprefix(_REJECTED)}"
    for table in tables:
        if continued := counts.get(f"{table}_continuation_lines", 0):
            yield f"lines of {table} that continue a row inside quotes: {continued:,}"
    if earlier := counts.get("earlier_events", 0):
        yield f"events made of the lists of earlier items: {earlier:,}"
    # Where the log describes its items, all but the last event of an item repeat what is said of it.
    silent = "items_duplicates" if items_from_log else ""
    shown = {key: what for key, what in _LEFT_OUT.items() if key != silent}
    left_out = [f"{count:,} {what}" for key, what in shown.items() if (count := counts.get(key, 0))]
    if left_out:
        yield f"left out: {', '.join(left_out)}"
