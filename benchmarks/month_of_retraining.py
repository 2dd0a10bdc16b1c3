"""Replays Online Retail week by week through `recstack retrain`, with planted bad nights between the good ones.

    python benchmarks/published_tables.py online-retail --source DATA/online-retail --target tables/online-retail
    python benchmarks/month_of_retraining.py --tables tables/online-retail --workdir month

Each good night has the last thirteen weeks of the log, a week later than the night before. Before some comes a bad
night: the same data or models, spoilt in one way. Prints a row of Markdown a night: how it ended, what refused it, the
gate's metric of the live model and the difference of the new one to it, and wall time of a process that starts anew.
Exits with 1 where a bad night was published or a good one was refused.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recstack.config import StackConfig, load_config

WEEK = 7 * 86_400
WEEKS_OF_A_NIGHT = 13
CONFIG = Path(__file__).parents[1] / "configs" / "online_retail.toml"
HEADER = """
| week | night | ended | refused by | live NDCG@10 | difference of the new model | s |
|---|---|---|---|---|---|---|
""".strip()
# Retrains with an index whose vectors belong to other items.
WRONG_INDEX = """
import sys
from trainer.export.assembly import Assembly
right = Assembly.vectors.func
Assembly.vectors = property(lambda assembly: right(assembly)[::-1].copy())
from recstack.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
RIGHT = "import sys; from recstack.__main__ import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class Tables:
    """The tables of interactions, items and users that one retraining reads."""

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame


def half_missing(tables: Tables) -> Tables:
    """The export broke off: every second row is missing."""
    return replace(tables, events=tables.events.iloc[::2])


def doubled(tables: Tables) -> Tables:
    """The export ran twice: every row comes twice."""
    return replace(tables, events=pd.concat([tables.events, tables.events]))


def shuffled(tables: Tables) -> Tables:
    """A join went wrong: the articles belong to other lines."""
    items = np.random.default_rng(0).permutation(tables.events["item_id"].to_numpy())
    return replace(tables, events=tables.events.assign(item_id=items))


def stale(tables: Tables) -> Tables:
    """The export is one of three weeks ago."""
    newest = int(tables.events["timestamp"].max())
    return replace(tables, events=tables.events[tables.events["timestamp"] < newest - 3 * WEEK])


def broken_feature(tables: Tables) -> Tables:
    """All articles have the same description."""
    return replace(tables, items=tables.items.assign(description="to be done"))


def truncated_catalogue(tables: Tables) -> Tables:
    """Half of the articles are missing in the items table."""
    return replace(tables, items=tables.items.iloc[::2])


@dataclass(frozen=True)
class BadNight:
    """One way to spoil a night."""

    name: str
    spoil: Callable[[Tables], Tables]
    refused_by: frozenset[str]
    """Rules of which at least one has to refuse it, or `prepare` where that fails before the gate."""
    program: str = RIGHT
    flags: tuple[str, ...] = ()


BAD_NIGHTS = (
    BadNight("half of the rows missing", half_missing, frozenset({"data"})),
    BadNight("every row twice", doubled, frozenset({"data"})),
    BadNight("articles shuffled", shuffled, frozenset({"quality", "baselines"})),
    BadNight("data of three weeks ago", stale, frozenset({"data"})),
    BadNight("one description for all", broken_feature, frozenset({"data"})),
    BadNight("half of the catalogue", truncated_catalogue, frozenset({"data", "prepare"})),
    # Other settings, so that the good models of the same data are models of their own.
    BadNight(
        "index of wrong vectors",
        lambda tables: tables,
        frozenset({"index"}),
        program=WRONG_INDEX,
        flags=("--index.tuned-k", "50"),
    ),
)


def main() -> int:
    """Replays the weeks; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--nights", type=int, default=12, help="good nights, a week apart")
    given = parser.parse_args()
    given.workdir.mkdir(parents=True)
    print(HEADER, flush=True)
    mistakes = [row for row in replay(given.tables, given.workdir, given.nights) if row["mistake"]]
    for row in mistakes:
        print(f"not as it should be: {row}")
    return 1 if mistakes else 0


def replay(tables: Path, workdir: Path, nights: int) -> Iterator[Mapping[str, Any]]:
    """All nights in order; each is printed as it ends."""
    every = Tables(
        events=pd.concat(map(pd.read_parquet, sorted(tables.glob("interactions/*/*.parquet")))),
        items=pd.read_parquet(tables / "items.parquet"),
        users=pd.read_parquet(tables / "users.parquet"),
    )
    newest = int(every.events["timestamp"].max())
    bad_nights = iter(BAD_NIGHTS)
    for night in range(nights):
        end = newest - (nights - 1 - night) * WEEK
        window = every.events["timestamp"].between(end - WEEKS_OF_A_NIGHT * WEEK, end)
        tonight = replace(every, events=every.events[window].sort_values("timestamp", kind="stable"))
        if night > 0 and (bad := next(bad_nights, None)) is not None:
            yield shown(night, bad.name, retrain(bad.spoil(tonight), workdir, bad), bad.refused_by)
        yield shown(night, "good", retrain(tonight, workdir), frozenset())


def retrain(tables: Tables, workdir: Path, bad: BadNight | None = None) -> dict[str, Any]:
    """One night in a process of its own: what it says, and how long it took."""
    folder = workdir / "tables"
    folder.mkdir(exist_ok=True)
    for name in ("events", "items", "users"):
        getattr(tables, name).to_parquet(folder / f"{name}.parquet", index=False)
    config = workdir / "stack.toml"
    config.write_text(configuration(folder, workdir).to_toml(), encoding="utf-8")
    program, flags = (bad.program, bad.flags) if bad else (RIGHT, ())
    command = [sys.executable, "-c", program, "retrain", "--json", "--config", str(config), *flags]
    began = time.monotonic()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 1:  # as a scheduler does: it goes on where it failed
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    ended = json.loads(done.stdout) if done.returncode in (0, 3) else {"error": done.stderr.strip().splitlines()[-1]}
    return {**ended, "code": done.returncode, "seconds": time.monotonic() - began}


def configuration(folder: Path, workdir: Path) -> StackConfig:
    """`configs/online_retail.toml` with the night's tables, and less of what takes time.

    The log has no labels, so the ranking model tells bought articles from drawn ones; one epoch is enough of that, and
    only `retrieval` is exported and judged. A quarter of a year is too short to be above the baseline `repeat`.
    """
    stack = load_config(CONFIG)
    pipeline = replace(
        stack.pipeline,
        interactions=replace(stack.pipeline.interactions, path=str(folder / "events.parquet")),
        items=replace(stack.pipeline.items, path=str(folder / "items.parquet")),
        users=replace(stack.pipeline.users, path=str(folder / "users.parquet")),
    )
    baselines = replace(stack.evaluation.baselines, names=("popularity",))
    return replace(
        stack,
        pipeline=pipeline,
        retrieval=replace(stack.retrieval, dimension=64),
        ranking=replace(stack.ranking, epochs=1, batch_size=4096),
        evaluation=replace(stack.evaluation, baselines=baselines, resamples=200),
        export=replace(stack.export, models=("retrieval",)),
        workdir=workdir / "work",
    )


def shown(night: int, name: str, ended: Mapping[str, Any], wanted: frozenset[str]) -> Mapping[str, Any]:
    """Prints a night's row; returns it with whether it ended as it should not have."""
    refused = ended.get("record", {}).get("refused_by", [])
    if "error" in ended:  # what `prepare` refuses never comes to the gate
        refused = ["prepare"] if ended["code"] == 2 else [ended["error"]]
    outcome = ended.get("record", {}).get("outcome", "failed")
    live, difference = quality(ended.get("gate", []))
    cells = (night + 1, name, outcome, ", ".join(refused) or ended.get("reason", ""), live, difference)
    print(f"| {' | '.join(map(str, cells))} | {ended['seconds']:.0f} |", flush=True)
    mistake = not wanted.intersection(refused) if wanted else outcome != "published"
    return {"night": night + 1, "name": name, "mistake": mistake, **ended}


def quality(checks: list[dict[str, Any]]) -> tuple[str, str]:
    """The live model's metric and the paired difference of the new one, as the rule `quality` words them, or none."""
    details = [check["detail"] for check in checks if check["rule"] == "quality"]
    live, _, difference = details[0].partition(", ") if details else ("", "", "")
    return live.removeprefix("live "), difference.removeprefix("difference ")


if __name__ == "__main__":
    sys.exit(main())
