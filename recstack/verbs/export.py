"""`recstack export`: trained models in, published SavedModels out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice

if TYPE_CHECKING:
    from trainer.export.saving import Exported


@dataclass(frozen=True, kw_only=True)
class ExportArguments(StackArguments):
    """Publishes trained models as SavedModels with the next version number."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(ExportArguments, "export", arguments)
    export(parsed.stack, Voice("export", as_json=parsed.json))
    return 0


def export(stack: StackConfig, voice: Voice) -> "list[Exported]":
    """Exports the configured models and says where they are."""
    stack.require_dataset()
    from trainer.export.assembly import ExportJob
    from trainer.export.job import export_models

    job = ExportJob(
        schema=stack.features,
        workdir=stack.layout,
        retrieval=stack.retrieval,
        ranking=stack.ranking,
        index=stack.index,
        export=stack.export,
        seed=stack.seed,
        say=voice.progress,
    )
    exported = export_models(job)
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
