"""One system of `benchmarks/peers.py` that lives in recstack's own environment.

recstack itself, a baseline of implicit, or the retrieval model of the TFRS guide.

One JSON line an epoch on standard output, as `peers.run` reads them.
"""

import itertools
import json
import pickle
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from trainer.metrics.protocol import EvaluationSet
from trainer.metrics.top_k import rank_by_inner_product, rank_by_scorer


def main() -> None:
    """Trains one system."""
    system, folder, quality, cutoff, seed = sys.argv[1:]
    if system == "recstack":
        train_recstack(Path(folder), f"{quality}@{cutoff}", int(cutoff), int(seed))
    elif system == "guide":
        train_guide(Path(folder), int(cutoff), int(seed))
    else:
        fit_baseline(system, Path(folder), int(cutoff), int(seed))


def train_recstack(folder: Path, metric: str, cutoff: int, seed: int) -> None:
    """The configured two-tower model; its training validates all users after each epoch, with the same metric."""
    # Not for the baselines: TensorFlow would be counted as their memory and time.
    from features.disk.layout import RunLayout, Workdir
    from recstack.config import load_config
    from trainer.data.events import load_events
    from trainer.restore import restore
    from trainer.retrieval.full_ranking import query_blocks, rank_by_model
    from trainer.retrieval.stage import RetrievalStage
    from trainer.stage import train_stage
    from trainer.training.progress import Progress
    from trainer.training.stage import StageContext

    stack = load_config(folder / "config.toml")
    dataset = Workdir(folder / "work").dataset
    retrieval = replace(stack.retrieval, validation_queries=sys.maxsize)  # all users, as for the others
    epochs_told = 0

    def say(progress: Progress) -> None:
        nonlocal epochs_told
        if progress.epoch > epochs_told:
            epochs_told = progress.epoch
            tell(validation=progress.metrics[metric], cpu=time.process_time())

    context = StageContext(
        schema=stack.features, dataset=dataset, run=RunLayout(folder / "run"), seed=seed, progress=say
    )
    stage = RetrievalStage(config=retrieval, evaluation=stack.evaluation)
    train_stage(context, stage)
    trained = restore(context, stage)
    lists: dict[str, Any] = {}
    _, splits, asked_at = load_data(folder)
    for split, queries in splits.items():
        events = load_events(
            dataset.interactions(split), trained.encoder, trained.candidates.rows(), records="retrieval"
        )
        blocks = query_blocks(events, stack.features, asked_at[split])
        lists[split] = rank_by_model(trained.model, trained.candidates, blocks, cutoff, seen=queries.seen).item_rows
    np.savez(folder / "recstack.npz", **lists)
    print(json.dumps({"kept": str(folder / "recstack.npz")}), flush=True)


def train_guide(folder: Path, cutoff: int, seed: int) -> None:
    """The TFRS guide's model, by `Model.fit`, until whoever reads its lists has seen enough."""
    import features as features  # selects Keras 2, so it comes before TensorFlow

    # isort: split
    import tensorflow as tf
    from tfrs_guide import batches, compiled_model, item_vectors, user_vectors

    tf.keras.utils.set_random_seed(seed)
    interactions, splits, _ = load_data(folder)
    model = compiled_model(interactions.num_users, interactions.num_items)
    data = batches(interactions.user_rows, interactions.item_rows)
    untimed, untimed_cpu = 0.0, 0.0
    for epoch in itertools.count(1):
        model.fit(data, epochs=1, verbose=0)
        items = item_vectors(model, interactions.num_items)

        def lists(queries: EvaluationSet, items: Any = items) -> Any:
            vectors = user_vectors(model, queries.user_rows)
            return rank_by_inner_product(vectors, items, cutoff, seen=queries.seen).item_rows

        ranked = {"validation": lists(splits["validation"])}
        before, before_cpu = time.monotonic(), time.process_time()  # a training validates each epoch but tests once
        ranked["test"] = lists(splits["test"])
        path = folder / f"guide-{epoch}.npz"
        np.savez(path, **ranked)
        untimed += time.monotonic() - before
        untimed_cpu += time.process_time() - before_cpu
        tell(lists=path, untimed=untimed, cpu=time.process_time() - untimed_cpu)


def fit_baseline(name: str, folder: Path, cutoff: int, seed: int) -> None:
    """A baseline with the parameters that validation chose; one fit is one epoch, and the tuning is not timed."""
    # Not for the others: their memory and time would count these libraries.
    from trainer.baselines.table import make_baseline
    from trainer.baselines.tuning import tune
    from trainer.config.baselines import BaselineName

    interactions, queries, _ = load_data(folder)
    before, before_cpu = time.monotonic(), time.process_time()
    baseline = tune(make_baseline(cast(BaselineName, name), seed=seed), interactions, queries["validation"]).baseline
    untimed, untimed_cpu = time.monotonic() - before, time.process_time() - before_cpu
    print(baseline, file=sys.stderr)
    scorer = baseline.fit(interactions)
    lists: dict[str, Any] = {"validation": rank_by_scorer(scorer, queries["validation"], cutoff).item_rows}
    before, cpu = time.monotonic(), time.process_time() - untimed_cpu
    lists["test"] = rank_by_scorer(scorer, queries["test"], cutoff).item_rows
    np.savez(folder / f"{name}.npz", **lists)
    tell(lists=folder / f"{name}.npz", untimed=untimed + time.monotonic() - before, cpu=cpu)


def load_data(folder: Path) -> Any:
    """What `peers.py` wrote: training events, queries by split and the events they are asked at."""
    return pickle.loads((folder / "data.pickle").read_bytes())


def tell(*, cpu: float, untimed: float = 0.0, validation: float | None = None, lists: Path | None = None) -> None:
    """Prints an epoch's line."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    told: dict[str, Any] = {"untimed": untimed, "cpu": cpu, "peak": int(fields["VmHWM"].split()[0]) * 1024}
    told |= {} if validation is None else {"validation": validation}
    told |= {} if lists is None else {"lists": str(lists)}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
