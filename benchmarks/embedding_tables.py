"""What each kind of embedding table takes in memory and costs in quality, beside the full table.

    python benchmarks/published_tables.py gowalla --source DATA/gowalla --target tables/gowalla
    .venv/bin/python benchmarks/embedding_tables.py --config configs/gowalla.toml --epochs 4 --dimension 64

Trains the retrieval model of a configuration once with each kind for the items, and judges it on the test split. `rows`
of the hashed kinds and `shared_rows` are shares of the catalogue's items. Memory is that of all tables with what finds
their rows, and of the optimizer's state.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import tyro
from rich.console import Console
from rich.table import Table

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import RunLayout, Workdir
from recstack.config import StackConfig, load_config
from trainer.config.baselines import BaselinesConfig
from trainer.config.tables import (
    FrequencyConfig,
    FullConfig,
    HashedConfig,
    MixedConfig,
    MultiHashConfig,
    QuotientRemainderConfig,
    TableConfig,
)
from trainer.data.encoded_dataset import EncodedDataset, encode_dataset
from trainer.evaluation.retrieval import evaluate_retrieval
from trainer.layers.tables.contract import EmbeddingTable
from trainer.restore import restore
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.optimizers import make_optimizer
from trainer.training.stage import StageContext

_MEBIBYTE = 2**20

# From the number of items to the options of the items' table.
VARIANTS: Mapping[str, Callable[[int], TableConfig]] = {
    "full": lambda items: FullConfig(),
    "hashed 1/2": lambda items: HashedConfig(rows=items // 2),
    "hashed 1/8": lambda items: HashedConfig(rows=items // 8),
    "multi_hash 1/2": lambda items: MultiHashConfig(rows=items // 2),
    "multi_hash 1/8": lambda items: MultiHashConfig(rows=items // 8),
    "quotient_remainder 1/2": lambda items: QuotientRemainderConfig(rows=items // 2),
    "quotient_remainder 1/8": lambda items: QuotientRemainderConfig(rows=items // 8),
    "quotient_remainder 1/8, product": lambda items: QuotientRemainderConfig(rows=items // 8, operation="product"),
    "frequency 20, shared 1/16": lambda items: FrequencyConfig(min_events=20, shared_rows=items // 16),
    "mixed 20, width 8": lambda items: MixedConfig(min_events=20, width=8),
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: configuration, epochs, width, and kinds of table."""

    config: Path
    """Configuration to train and evaluate."""
    epochs: int = 4
    """Passes over the training split."""
    dimension: int | None = None
    """Components of a vector, in place of the configured number."""
    random: bool = False
    """Whether the items start from noise, whatever is configured; kinds that need it do so anyway."""
    workdir: Path | None = None
    """Where the dataset is kept, so that several calls share it; by default it is removed."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Names of the kinds to train, of `VARIANTS`."""


def main(arguments: Arguments) -> None:
    """Prepares, trains, judges and prints a row a kind."""
    stack = load_config(arguments.config)
    retrieval = replace(
        stack.retrieval, epochs=arguments.epochs, dimension=arguments.dimension or stack.retrieval.dimension
    )
    evaluation = replace(stack.evaluation, baselines=BaselinesConfig(names=()))
    stack = replace(stack, retrieval=retrieval, evaluation=evaluation)
    with TemporaryDirectory() as folder:
        workdir = Workdir(arguments.workdir or Path(folder) / "work")
        prepare_dataset(stack.features, stack.pipeline, workdir.dataset, seed=stack.seed, progress=print)
        dataset = encode_dataset(stack.features, workdir.dataset)
        rows = [
            measured(with_items(stack, VARIANTS[name](len(dataset.candidates)), arguments), workdir, dataset, name)
            for name in arguments.variants
        ]
    show(stack, rows)


def with_items(stack: StackConfig, table: TableConfig, arguments: Arguments) -> StackConfig:
    """The configuration with that table of items, which starts from noise if it has to."""
    is_random = arguments.random or not table.is_linear
    retrieval = replace(
        stack.retrieval,
        embedding={stack.features.item_id: table},
        initialisation="random" if is_random else stack.retrieval.initialisation,
    )
    return replace(stack, retrieval=retrieval)


def measured(stack: StackConfig, workdir: Workdir, dataset: EncodedDataset, name: str) -> dict[str, str]:
    """A row of the table: a training, judged on the test split."""
    with TemporaryDirectory() as folder:
        context = StageContext(
            schema=stack.features, dataset=workdir.dataset, run=RunLayout(Path(folder)), seed=stack.seed
        )
        stage = RetrievalStage(config=stack.retrieval, evaluation=stack.evaluation)
        seconds = train_stage(context, stage, dataset).manifest.seconds
        trained = restore(context, stage, dataset)
        metrics = evaluate_retrieval(trained, workdir.dataset, stack.evaluation, stack.seed, lambda message: None)
    cutoff = max(stack.evaluation.cutoffs)
    found = metrics["model"]["metrics"]
    tables, optimizer = memory(stack, dataset)
    row = {
        "items' table": name,
        "start": stack.retrieval.initialisation,
        "tables, MiB": f"{tables:.1f}",
        "optimizer, MiB": f"{optimizer:.1f}",
        **{f"{each}@{cutoff}": f"{found[f'{each}@{cutoff}']['value']:.4f}" for each in ("recall", "ndcg")},
        "seconds": f"{seconds:.0f}",
    }
    print(row, flush=True)
    return row


def memory(stack: StackConfig, dataset: EncodedDataset) -> tuple[float, float]:
    """MiB of all tables, and of the optimizer's state."""
    model = TwoTowerModel(stack.retrieval, dataset.encoder, dataset.candidates, seed=0)
    optimizer = make_optimizer(stack.retrieval.optimizer, 1)
    optimizer.build(model.trainable_variables)
    of_tables = [weight for each in model.submodules if isinstance(each, EmbeddingTable) for weight in each.variables]
    return bytes_of(of_tables) / _MEBIBYTE, bytes_of(optimizer.variables) / _MEBIBYTE


def bytes_of(weights: list) -> int:
    """Bytes of variables, each counted once."""
    distinct = {id(weight): weight for weight in weights}.values()
    return sum(math.prod(weight.shape) * weight.dtype.size for weight in distinct)


def show(stack: StackConfig, rows: list[dict[str, str]]) -> None:
    """Prints all rows."""
    retrieval = stack.retrieval
    table = Table(title=f"{retrieval.epochs} epochs, {retrieval.dimension} components, test split, one seed")
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*row.values())
    Console(width=140).print(table)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
