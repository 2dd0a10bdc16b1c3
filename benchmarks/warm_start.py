"""Going on from yesterday's model beside training anew, week after week: quality and seconds, in one run.

    .venv/bin/python benchmarks/warm_start.py
    .venv/bin/python benchmarks/warm_start.py --weeks 8 --warm-epochs 1 2 4

A generated shop: items belong to kinds, each user likes a few kinds and takes what is new in them, and a share of the
items is new each week. Each night has the log up to the end of a week: the last tenth of it is the test, and the
vocabularies of the night before go on. `anew` trains for all epochs from chance; `warm` goes on from its own model of
the night before (`start_from`) for few epochs, the first one from the model that was trained anew in the first week.
Seconds are those of `recstack train retrieval`. The means are over the weeks after the first.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import tyro

from recstack import stages
from recstack.config import StackConfig, parse_config

CONFIG = """
workdir = "WORKDIR"
keep_runs = 1000

[[features.query]]
kind = "history"
length = 20

[[features.candidate]]
kind = "id"
name = "item_id"

[pipeline]
report = false

[pipeline.interactions]
path = "EVENTS"

[retrieval]
dimension = 32
batch_size = 512
patience = 0

[evaluation]
exclude_seen = false
resamples = 100

[evaluation.baselines]
names = []
"""
METRIC = "ndcg@10"
USERS, KINDS, KINDS_OF_A_USER, ITEMS, NEW_A_WEEK, EVENTS_A_WEEK = 2_000, 40, 2, 800, 0.05, 8_000
_WEEK = 7 * 86_400
_WEEKS_OF_INTEREST, _LASTING_INTEREST = 4, 0.01


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments."""

    weeks: int = 3
    """Nights, a week apart."""
    weeks_before: int = 8
    """Weeks of the log before the first night."""
    epochs: int = 8
    """Passes of a training from chance."""
    warm_epochs: tuple[int, ...] = (2,)
    """Passes of a training that goes on; each number is a column of its own."""
    seed: int = 0
    """Seed of log and trainings."""


@dataclass(frozen=True, kw_only=True)
class Night:
    """Result of one training."""

    run: str
    """Its id."""
    quality: float
    """On the test, the last tenth of the log."""
    seconds: float
    """Of the training."""


def main(arguments: Arguments) -> None:
    """Prints a row a week, and the means."""
    names = ["anew", *(f"warm, {epochs} epochs" for epochs in arguments.warm_epochs)]
    print(f"{'week':>6}" + "".join(f"{f'{METRIC} {name}':>26}{'s':>7}" for name in names))
    with tempfile.TemporaryDirectory() as folder:
        nights = []
        for row in replayed(Path(folder), arguments):
            nights.append(row)
            print(_line(f"{len(nights) - 1:>6}", row), flush=True)
    later = nights[1:]
    print(_line(f"{'mean':>6}", [_mean(column) for column in zip(*later, strict=True)]))


def replayed(folder: Path, arguments: Arguments) -> Iterator[list[Night]]:
    """Of each week, the training anew and those that go on."""
    log, stack = make_log(arguments), _stack(folder, arguments.seed)
    anew = replace(stack, retrieval=replace(stack.retrieval, epochs=arguments.epochs))
    warm = [replace(stack, retrieval=replace(stack.retrieval, epochs=epochs)) for epochs in arguments.warm_epochs]
    before: list[Night] = []
    for week in range(arguments.weeks + 1):
        until = (arguments.weeks_before + week) * _WEEK
        pq.write_table(log.filter(pc.less(log["timestamp"], until)), folder / "events.parquet")
        stages.prepare(stack)
        first = _night(anew)
        others = [_night(replace(each, start_from=former.run)) for each, former in zip(warm, before, strict=False)]
        before = others or [first for _ in warm]
        yield [first, *before]


def _night(stack: StackConfig) -> Night:
    trained = stages.train(stack, "retrieval", current=False)
    found = stages.evaluate(stack, "retrieval").content["model"]["metrics"][METRIC]["value"]
    return Night(run=stages.own_run(stack).id, quality=found, seconds=trained.manifest.seconds)


def make_log(arguments: Arguments) -> pa.Table:
    """Users, items and seconds since the first week; popularity within a kind falls with age."""
    generator = np.random.default_rng(arguments.seed)
    weeks = arguments.weeks_before + arguments.weeks
    born = np.concatenate([np.zeros(ITEMS), np.repeat(np.arange(1, weeks), int(NEW_A_WEEK * ITEMS))])
    kind_of = generator.integers(0, KINDS, len(born))
    liked = np.array([generator.choice(KINDS, KINDS_OF_A_USER, replace=False) for _ in range(USERS)])
    columns = []
    for week in range(weeks):
        users = generator.integers(0, USERS, EVENTS_A_WEEK)
        kinds = liked[users, generator.integers(0, KINDS_OF_A_USER, EVENTS_A_WEEK)]
        appeal = np.where(born <= week, np.exp((born - week) / _WEEKS_OF_INTEREST) + _LASTING_INTEREST, 0.0)
        items = np.empty(EVENTS_A_WEEK, np.int64)
        for kind in range(KINDS):
            of_kind, wanted = np.flatnonzero(kind_of == kind), np.flatnonzero(kinds == kind)
            chances = appeal[of_kind] / appeal[of_kind].sum()
            items[wanted] = generator.choice(of_kind, len(wanted), p=chances)
        columns.append((users, items, week * _WEEK + np.sort(generator.integers(0, _WEEK, EVENTS_A_WEEK))))
    users, items, times = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


def _stack(folder: Path, seed: int) -> StackConfig:
    text = CONFIG.replace("EVENTS", str(folder / "events.parquet")).replace("WORKDIR", str(folder / "work"))
    return replace(parse_config(text), seed=seed)


def _mean(nights: tuple[Night, ...]) -> Night:
    return Night(run="", quality=mean(each.quality for each in nights), seconds=mean(each.seconds for each in nights))


def _line(name: str, nights: list[Night]) -> str:
    return name + "".join(f"{night.quality:>26.4f}{night.seconds:>7.1f}" for night in nights)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
