"""`recstack export`: trained models in, published SavedModels out."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.table import Table

from features.disk.manifest import Manifest
from recstack import stages
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice

if TYPE_CHECKING:
    from trainer.export.saving import Exported


@dataclass(frozen=True, kw_only=True)
class ExportArguments(StackArguments):
    """Publishes trained models as SavedModels with the next version number."""

    refresh_index: bool = False
    """Reads the items table again and publishes its items, without training: new ones by their features, changed ones
    anew, and without those that are gone."""
    embeddings: bool = False
    """Writes the vectors of users and items as Parquet and for TensorBoard's projector, and publishes nothing."""
    keep: int | None = None
    """Versions kept a model; short for --export.keep-versions."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(ExportArguments, "export", arguments)
    stack = parsed.stack
    if parsed.keep is not None:
        stack = replace(stack, export=replace(stack.export, keep_versions=parsed.keep))
    voice = Voice("export", as_json=parsed.json)
    if parsed.embeddings:
        write_embeddings(stack, voice, refresh_index=parsed.refresh_index)
    else:
        export(stack, voice, refresh_index=parsed.refresh_index)
    return 0


def write_embeddings(stack: StackConfig, voice: Voice, *, refresh_index: bool = False) -> Manifest:
    """Writes the vectors of users and items and says where they are."""
    result = stages.export_embeddings(stack, voice.progress, refresh_index=refresh_index)
    manifest, nothing_to_do = result.manifest, result.nothing_to_do
    root, counts = stack.layout.embeddings.root, dict(manifest.counts)
    state = (
        "nothing to do, up to date"
        if nothing_to_do
        else ", ".join(f"{count:,} {name}" for name, count in counts.items())
    )
    voice.result(f"{state}: {root}", {"directory": str(root), "nothing_to_do": nothing_to_do, "counts": counts})
    return manifest


def export(stack: StackConfig, voice: Voice, *, refresh_index: bool = False) -> "list[Exported]":
    """Exports the configured models and says where they are."""
    exported = stages.export(stack, voice.progress, refresh_index=refresh_index)
    voice.show(_table(exported))
    done = [entry for entry in exported if not entry.nothing_to_do]
    state = f"{len(done)} of {len(exported)} models published" if done else "nothing to do, up to date"
    voice.result(
        f"{state}: {stack.layout.saved_models}",
        {
            "nothing_to_do": not done,
            "models": {
                entry.model: {"version": entry.version, "directory": str(entry.directory), "bytes": entry.num_bytes}
                for entry in exported
            },
        },
    )
    return exported


def _table(exported: "list[Exported]") -> Table:
    table = Table()
    for name, justify in (("model", "left"), ("version", "right"), ("MiB", "right"), ("", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for entry in exported:
        state = "up to date" if entry.nothing_to_do else "new"
        table.add_row(entry.model, str(entry.version), f"{entry.num_bytes / 2**20:.1f}", state)
    return table
