"""Replays Online Retail week by week through `recstack retrain`, with planted bad nights between the good ones.

    python benchmarks/published_tables.py online-retail --source DATA/online-retail --target tables/online-retail
    python benchmarks/month_of_retraining.py --tables tables/online-retail --workdir month

Each good night has the last thirteen weeks of the log, a week later than the night before. Each policy retrains in a
folder of its own: `scratch` from chance, `warm` from the weights of the night before. After a good night `recstack
compare` asks the first night's model and the new one for the same queries, which shows what training once would be
worth by then. With `scratch` some good nights come after a bad one: the same data or models, spoilt in one way.

Prints a row of Markdown a night as it ends, and at the end the weeks side by side. A replay that was stopped goes on
with the same command; `--seconds` stops it between two nights. Exits with 1 where a bad night was published or a good
one was refused, and with 4 where nights are left.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recstack.config import StackConfig, load_config
from recstack.retraining.config import RetrainConfig

WEEK = 7 * 86_400
WEEKS_OF_A_NIGHT = 13
CONFIG = Path(__file__).parents[1] / "configs" / "online_retail.toml"
POLICIES = {"scratch": RetrainConfig(), "warm": RetrainConfig(warm_start=True)}
METRIC = "ndcg@10"
NIGHTS_LEFT = 4
HEADER = """
| policy | week | night | ended | refused by | live NDCG@10 | difference of the new model | s |
|---|---|---|---|---|---|---|---|
""".strip()
WEEKS = """
| week | train once | from scratch | against once | warm start | against once | s from scratch | s warm |
|---|---|---|---|---|---|---|---|
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


@dataclass(frozen=True)
class Night:
    """One night of one policy."""

    policy: str
    week: int
    """From 0."""
    bad: BadNight | None = None

    @property
    def name(self) -> str:
        """Name in the printed table."""
        return self.bad.name if self.bad else "good"


def main() -> int:
    """Replays the nights that are left; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--weeks", type=int, default=12, help="good nights of each policy, a week apart")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no night that would end after these")
    given = parser.parse_args()
    deadline = time.monotonic() + given.seconds
    replay = Replay(given.tables, given.workdir, given.weeks)
    print(HEADER, flush=True)
    nights = [night for policy in given.policies for night in nights_of(policy, given.weeks)]
    for night in sorted(nights, key=lambda night: night.week):
        row = replay.known(night)
        if row is None:
            if time.monotonic() + replay.longest > deadline:
                print(f"\n{WEEKS}", *weeks(replay.rows, given.weeks), sep="\n")
                print("nights are left: run the same command again")
                return NIGHTS_LEFT
            row = replay.run(night)
        print(line(row), flush=True)
    print(f"\n{WEEKS}", *weeks(replay.rows, given.weeks), sep="\n")
    mistakes = [row for row in replay.rows if row["mistake"]]
    for row in mistakes:
        print(f"not as it should be: {row}")
    return 1 if mistakes else 0


def nights_of(policy: str, weeks: int) -> Iterator[Night]:
    """The nights in order; bad ones before the good ones of the second and later weeks."""
    bad = dict(enumerate(BAD_NIGHTS, 1)) if policy == "scratch" else {}
    for week in range(weeks):
        if week in bad:
            yield Night(policy, week, bad[week])
        yield Night(policy, week)


class Replay:
    """The nights on disk: those that are done, and the tables of the one that is next."""

    def __init__(self, tables: Path, workdir: Path, weeks: int) -> None:
        self._workdir, self._weeks = workdir, weeks
        workdir.mkdir(parents=True, exist_ok=True)
        self._every = Tables(
            events=pd.concat(map(pd.read_parquet, sorted(tables.glob("interactions/*/*.parquet")))),
            items=pd.read_parquet(tables / "items.parquet"),
            users=pd.read_parquet(tables / "users.parquet"),
        )
        self._log = workdir / "nights.jsonl"
        lines = self._log.read_text("utf-8").splitlines() if self._log.exists() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]

    @property
    def longest(self) -> float:
        """Seconds of the longest night so far."""
        return max((row["seconds"] for row in self.rows), default=0.0)

    def known(self, night: Night) -> dict[str, Any] | None:
        """The row of a night that is done."""
        key = (night.policy, night.week, night.name)
        return next((row for row in self.rows if (row["policy"], row["week"], row["night"]) == key), None)

    def run(self, night: Night) -> dict[str, Any]:
        """Retrains in processes of their own and keeps what they said."""
        folder = self._workdir / night.policy
        config = self._prepared(night, folder)
        ended = retrain(config, night.bad)
        refused = ended.get("record", {}).get("refused_by", [])
        if "error" in ended:  # what `prepare` refuses never comes to the gate
            refused = ["prepare"] if ended["code"] == 2 else [ended["error"]]
        outcome = ended.get("record", {}).get("outcome", "failed")
        wanted = night.bad.refused_by if night.bad else frozenset()
        live, difference = quality(ended.get("gate", []))
        row = {
            "policy": night.policy,
            "week": night.week,
            "night": night.name,
            "outcome": outcome,
            "refused": ", ".join(refused) or ended.get("reason", ""),
            "live": live,
            "difference": difference,
            "seconds": ended["seconds"],
            "mistake": not wanted.intersection(refused) if wanted else outcome != "published",
            "beside_first": {} if night.bad or night.week == 0 else beside_first(config, self._first_run(night, ended)),
            "run": ended.get("record", {}).get("run", ""),
        }
        self.rows.append(row)
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        return row

    def _first_run(self, night: Night, ended: Mapping[str, Any]) -> str:
        first = self.known(Night(night.policy, 0))
        return first["run"] if first else ended["record"]["run"]

    def _prepared(self, night: Night, folder: Path) -> Path:
        """Writes the night's tables and configuration, unless they are there from a call that was stopped."""
        tables, tonight = folder / "tables", folder / "tonight"
        config = folder / "stack.toml"
        name = f"{night.week} {night.name}"
        if tonight.exists() and tonight.read_text("utf-8") == name:
            return config
        tonight.unlink(missing_ok=True)
        tables.mkdir(parents=True, exist_ok=True)
        spoil = night.bad.spoil if night.bad else lambda unspoilt: unspoilt
        spoilt = spoil(self._window(night.week))
        for part in ("events", "items", "users"):
            getattr(spoilt, part).to_parquet(tables / f"{part}.parquet", index=False)
        config.write_text(configuration(tables, folder, POLICIES[night.policy]).to_toml(), encoding="utf-8")
        tonight.write_text(name, encoding="utf-8")
        return config

    def _window(self, week: int) -> Tables:
        events = self._every.events
        end = int(events["timestamp"].max()) - (self._weeks - 1 - week) * WEEK
        chosen = events[events["timestamp"].between(end - WEEKS_OF_A_NIGHT * WEEK, end)]
        return replace(self._every, events=chosen.sort_values("timestamp", kind="stable"))


def retrain(config: Path, bad: BadNight | None = None) -> dict[str, Any]:
    """One night in a process of its own: what it says, and how long it took."""
    program, flags = (bad.program, bad.flags) if bad else (RIGHT, ())
    command = [sys.executable, "-c", program, "retrain", "--json", "--config", str(config), *flags]
    began = time.monotonic()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 1:  # as a scheduler does: it goes on where it failed
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    ended = json.loads(done.stdout) if done.returncode in (0, 3) else {"error": done.stderr.strip().splitlines()[-1]}
    return {**ended, "code": done.returncode, "seconds": time.monotonic() - began}


def beside_first(config: Path, first: str) -> dict[str, Any]:
    """NDCG of the first night's model and of the current one on the newest test window, and their paired difference."""
    command = [sys.executable, "-c", RIGHT, "compare", first, "current", "--json", "--config", str(config)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)["metrics"][METRIC]
    return found


def configuration(tables: Path, folder: Path, policy: RetrainConfig) -> StackConfig:
    """`configs/online_retail.toml` with the night's tables, and less of what takes time.

    The log has no labels, so the ranking model tells bought articles from drawn ones; one epoch is enough of that, and
    only `retrieval` is exported and judged. A quarter of a year is too short to be above the baseline `repeat`.
    """
    stack = load_config(CONFIG)
    pipeline = replace(
        stack.pipeline,
        interactions=replace(stack.pipeline.interactions, path=str(tables / "events.parquet")),
        items=replace(stack.pipeline.items, path=str(tables / "items.parquet")),
        users=replace(stack.pipeline.users, path=str(tables / "users.parquet")),
    )
    baselines = replace(stack.evaluation.baselines, names=("popularity",))
    return replace(
        stack,
        pipeline=pipeline,
        retrieval=replace(stack.retrieval, dimension=64),
        ranking=replace(stack.ranking, epochs=1, batch_size=4096),
        evaluation=replace(stack.evaluation, baselines=baselines, resamples=200),
        export=replace(stack.export, models=("retrieval",)),
        retrain=policy,
        keep_runs=100,  # the first night's model is asked every night
        workdir=folder / "work",
    )


def line(row: Mapping[str, Any]) -> str:
    """A night as a row of the first table."""
    cells = (
        row["policy"],
        row["week"] + 1,
        *(row[name] for name in ("night", "outcome", "refused", "live", "difference")),
    )
    return f"| {' | '.join(map(str, cells))} | {row['seconds']:.0f} |"


def weeks(rows: Sequence[Mapping[str, Any]], number: int) -> Iterator[str]:
    """The weeks as rows of the second table; empty cells for what was not replayed."""
    good = {(row["policy"], row["week"]): row for row in rows if row["night"] == "good"}
    for week in range(number):
        both = [good.get((policy, week)) for policy in POLICIES]
        compared = [row["beside_first"] if row else {} for row in both]
        once = next((f"{found['first']:.4f}" for found in compared if found), "")
        cells = [f"{week + 1}", once]
        for found in compared:
            cells += [f"{found['second']:.4f}", interval(found["test"]["difference"])] if found else ["", ""]
        cells += [f"{row['seconds']:.0f}" if row else "" for row in both]
        yield f"| {' | '.join(cells)} |"


def interval(difference: Mapping[str, float]) -> str:
    """A difference with its bounds."""
    return f"{difference['value']:+.4f} [{difference['low']:+.4f}, {difference['high']:+.4f}]"


def quality(checks: list[dict[str, Any]]) -> tuple[str, str]:
    """The live model's metric and the paired difference of the new one, as the rule `quality` words them, or none."""
    details = [check["detail"] for check in checks if check["rule"] == "quality"]
    live, _, difference = details[0].partition(", ") if details else ("", "", "")
    return live.removeprefix("live "), difference.removeprefix("difference ")


if __name__ == "__main__":
    sys.exit(main())
