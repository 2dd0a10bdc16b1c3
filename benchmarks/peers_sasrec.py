"""RecTools' SASRec on a file that `benchmarks/peers.py` wrote, in an environment without recstack.

One JSON line an epoch on standard output; the epoch's ranked lists lie beside the file. Whoever reads the lines judges
the lists, and ends the process when it has seen enough.
"""

import argparse
import itertools
import json
import logging
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel
from rectools.models.nn.transformers.ligr import LiGRLayers

SETTINGS: dict[str, dict[str, Any]] = {
    # Kang and McAuley (https://arxiv.org/abs/1808.09781): one negative an event, binary cross-entropy.
    "sasrec": {"loss": "BCE", "n_negatives": 1},
    # LiGR layers and a sampled softmax, as the library's authors advise (https://arxiv.org/abs/2508.06450). Of 64
    # negatives, not 256: an epoch takes half the time.
    "esasrec": {"loss": "sampled_softmax", "n_negatives": 64, "transformer_layers_type": LiGRLayers},
}


def main() -> None:
    """Trains until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("settings", choices=SETTINGS)
    parser.add_argument("--factors", type=int, required=True)
    parser.add_argument("--history", type=int, required=True)
    parser.add_argument("--cutoff", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    pytorch_lightning.seed_everything(arguments.seed)
    data = np.load(arguments.data)
    train = dataset(data["train_users"], data["train_items"], data["train_seconds"])
    model = SASRecModel(
        n_blocks=2,
        n_factors=arguments.factors,
        n_heads=2,
        dropout_rate=0.2,
        session_max_len=arguments.history,
        lr=0.001,
        batch_size=128,
        verbose=0,
        **SETTINGS[arguments.settings],
    )
    asked = {name: queries(data, name) for name in ("validation", "test")}
    untimed, untimed_cpu = 0.0, 0.0
    for epoch in itertools.count(1):
        model.fit_partial(train, min_epochs=1, max_epochs=1)
        lists = {"validation": ranked(model, asked["validation"], arguments.cutoff, len(data["validation_lengths"]))}
        before, before_cpu = time.monotonic(), time.process_time()  # a training validates each epoch but tests once
        lists["test"] = ranked(model, asked["test"], arguments.cutoff, len(data["test_lengths"]))
        path = arguments.data.with_name(f"{arguments.settings}-{epoch}.npz")
        np.savez(path, **lists)
        untimed += time.monotonic() - before
        untimed_cpu += time.process_time() - before_cpu
        told = {"untimed": untimed, "cpu": time.process_time() - untimed_cpu, "peak": peak_bytes(), "lists": str(path)}
        print(json.dumps(told), flush=True)


def dataset(users: Any, items: Any, seconds: Any) -> Dataset:
    """Events as the library wants them."""
    table = {Columns.User: users, Columns.Item: items, Columns.Weight: 1, Columns.Datetime: seconds}
    table[Columns.Datetime] = pd.to_datetime(seconds, unit="s")
    return Dataset.construct(pd.DataFrame(table))


def queries(data: Any, split: str) -> Dataset:
    """The histories of a split's queries, each query a user."""
    lengths = data[f"{split}_lengths"]
    return dataset(np.repeat(np.arange(len(lengths)), lengths), data[f"{split}_items"], data[f"{split}_seconds"])


def ranked(model: SASRecModel, asked: Dataset, cutoff: int, num_queries: int) -> Any:
    """`[queries, cutoff] int64`: the best items that are not in the history, -1 where there is none."""
    known = asked.user_id_map.external_ids
    table = model.recommend(known, asked, cutoff, filter_viewed=True, on_unsupported_targets="ignore")
    lists = np.full([num_queries, cutoff], -1, np.int64)
    lists[table[Columns.User].to_numpy(np.int64), table[Columns.Rank].to_numpy() - 1] = table[Columns.Item].to_numpy()
    return lists


def peak_bytes() -> int:
    """The most memory that this process had at once."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    main()
