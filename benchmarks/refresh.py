"""Times a refresh of the index: a new items table to a published version, without training.

    .venv/bin/python benchmarks/refresh.py 1000000

A catalogue of random items with a title, a number and some tags, some random interactions, and one epoch of training,
because how well the model has learnt does not change how long its index takes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from recstack.config import StackConfig, parse_config
from recstack.stages import export, prepare, train

NUM_INTERACTIONS, NUM_USERS = 50_000, 5_000
CONFIG = """
workdir = "{folder}/work"

[[features.query]]
kind = "id"
name = "user_id"

[[features.query]]
kind = "history"
length = 20

[[features.candidate]]
kind = "id"
name = "item_id"

[[features.candidate]]
kind = "text"
name = "title"

[[features.candidate]]
kind = "numeric"
name = "price"

[[features.candidate]]
kind = "multi_valued"
name = "tags"

[pipeline.interactions]
path = "{folder}/interactions.parquet"

[pipeline.items]
path = "{folder}/items.parquet"

[retrieval]
dimension = 64
epochs = 1
batch_size = 4096

[retrieval.negatives]
kind = "uniform"
num_negatives = 256

[export]
models = ["retrieval"]
"""


def main() -> None:
    """Prepares, trains, exports, and refreshes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("items", type=int, help="items of the catalogue")
    num_items = parser.parse_args().items
    table = Table("step", "seconds", title=f"{num_items:,} items, 64 components")
    with tempfile.TemporaryDirectory() as folder:
        stack = write_tables(Path(folder), num_items)
        steps: dict[str, Callable[[], object]] = {
            "prepare": lambda: prepare(stack),
            "train, one epoch": lambda: train(stack, "retrieval"),
            "export": lambda: export(stack),
            "new items table": lambda: write_items(Path(folder), first=num_items // 10, num_items=num_items),
            "export --refresh-index": lambda: export(stack, refresh_index=True),
        }
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            table.add_row(name, f"{time.perf_counter() - start:.1f}")
    Console().print(table)


def write_tables(folder: Path, num_items: int) -> StackConfig:
    """Returns the configuration of a recommender in `folder`."""
    rng = np.random.default_rng(0)
    write_items(folder, first=0, num_items=num_items)
    interactions = {
        "user_id": [f"u{user}" for user in rng.integers(NUM_USERS, size=NUM_INTERACTIONS)],
        "item_id": [f"i{item}" for item in rng.integers(num_items, size=NUM_INTERACTIONS)],
        "timestamp": 1_700_000_000 + np.arange(NUM_INTERACTIONS),
    }
    pq.write_table(pa.table(interactions), folder / "interactions.parquet")
    return parse_config(CONFIG.format(folder=folder))


def write_items(folder: Path, *, first: int, num_items: int) -> None:
    """Writes items `first` and following, with other titles in each catalogue."""
    numbers = range(first, first + num_items)
    items = {
        "item_id": [f"i{n}" for n in numbers],
        "title": [f"word{n % 997} word{n % 1009} edition {first}" for n in numbers],
        "price": [float(n % 100) for n in numbers],
        "tags": [[f"tag{n % 50}", f"tag{n % 7}"] for n in numbers],
    }
    pq.write_table(pa.table(items), folder / "items.parquet")


if __name__ == "__main__":
    main()
