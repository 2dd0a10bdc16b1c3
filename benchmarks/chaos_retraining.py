"""Kills `recstack retrain` at random moments beside a server under load, and looks at what is left.

    python benchmarks/chaos_retraining.py --kills 30
    python benchmarks/chaos_retraining.py --kills 10 --seed 1 --seconds 450   # a piece of it, as are seeds 2 and 3

A first night of a small generated log is published and served. Then come nights with a day of new events each: a twin
of the folder is retrained without disturbance, and the folder itself by processes that `kill -9` ends at random moments
of the time that the twin took, until one comes to its end. After each kill every published version has to be complete,
after each night the lists of the published models have to be the twin's, and all the while the server is asked for
lists by one caller. Prints a line of Markdown a night. After `--seconds` nothing more is killed, and the night that was
begun comes to its end. Exits with 1 where a request failed, a version was incomplete or a list was another one.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from features.disk.layout import ModelName
from recstack.config import StackConfig, parse_config
from recstack.local_server import local_server
from serving.extras.load_generator import open_loop, recorded_requests

USERS, ITEMS, LIKED, DAY = 120, 80, 20, 86_400
FIRST_DAY = 1_700_000_000
REQUESTS_PER_SECOND, SLICE_SECONDS = 10.0, 2.0
CHECKED: tuple[ModelName, ...] = ("retrieval", "recommender")
HEADER = "| night | s undisturbed | kills | versions published | requests so far | failed |\n|---|---|---|---|---|---|"
CONFIG = """
workdir = "{folder}/work"
features.query = [
    {{ kind = "history", length = 20 }},
    {{ kind = "timestamp", name = "timestamp", parts = ["hour_of_day"] }},
]
features.candidate = [{{ kind = "id", name = "item_id" }}]
pipeline.interactions.path = "{folder}/interactions.parquet"
pipeline.label = {{ rating_column = "rating", min_positive_rating = 4.0 }}
pipeline.split = {{ kind = "per_user_fraction", validation = 0.1, test = 0.1 }}
retrieval = {{ dimension = 16, epochs = 12, batch_size = 256, optimizer = {{ learning_rate = 0.02 }} }}
ranking = {{ dimension = 8, epochs = 1, batch_size = 256 }}
evaluation = {{ cutoffs = [10], resamples = 20, baselines = {{ names = ["popularity"] }} }}
export = {{ recommender_candidates = 40, keep_versions = 2 }}
"""


def main() -> int:
    """Kills until there were so many; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="kill nothing after these")
    given = parser.parse_args()
    deadline = time.monotonic() + given.seconds
    draw, troubles = random.Random(given.seed), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        stack = first_night(Path(folder))
        flags = [f"--model_config_file={stack.layout.model_config.resolve()}", "--file_system_poll_wait_seconds=1"]
        with local_server(flags, Path(folder) / "server.log") as address, Load(address, stack) as load:
            print(HEADER)
            kills, night = 0, 0
            while kills < given.kills and time.monotonic() < deadline:
                night += 1
                write_log(stack, night)
                seconds, twin = undisturbed(stack, Path(folder) / "twin")
                moments = (draw.uniform(0.0, seconds) for _ in range(given.kills - kills))
                killed = disturbed(stack, moments, deadline, troubles)
                kills += killed
                troubles += [f"night {night}: {model} has other lists" for model in differing(stack, twin)]
                versions = max(stack.layout.model("retrieval").versions())
                print(
                    f"| {night} | {seconds:.0f} | {killed} | {versions} | {load.requests} | {load.failed} |", flush=True
                )
    troubles += [f"{count} requests failed: {error}" for error, count in load.errors.items()]
    print(
        f"{kills} kills, {night} nights published, {load.requests} requests, {load.failed} failed", *troubles, sep="\n"
    )
    return 1 if troubles else 0


def first_night(folder: Path) -> StackConfig:
    """A folder with a published model of the log's first days."""
    stack = parse_config(CONFIG.format(folder=folder))
    gate = replace(stack.gate, budgets=replace(stack.gate.budgets, largest_p99=60_000.0, seconds=0.2))
    stack = replace(stack, gate=gate)
    write_log(stack, 0)
    completed(stack)
    return stack


def write_log(stack: StackConfig, night: int) -> None:
    """Users like the items of their own half; each night the whole log is a day later."""
    draw = np.random.default_rng(night)
    users = np.repeat(np.arange(USERS), LIKED + LIKED // 2)
    is_liked = np.tile(np.arange(LIKED + LIKED // 2) < LIKED, USERS)
    items = np.concatenate([draw.permutation(ITEMS // 2)[: LIKED + LIKED // 2] for _ in range(USERS)]) * 2
    log = pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in items + (users + ~is_liked) % 2],
            "rating": np.where(is_liked, 5.0, 1.0),
            "timestamp": FIRST_DAY + night * DAY + draw.integers(0, 30 * DAY, len(users)),
        }
    )
    log.to_parquet(stack.pipeline.interactions.path, index=False)


def command(stack: StackConfig) -> list[str]:
    """Command line of `recstack retrain`, as a scheduler calls it."""
    config = stack.workdir.parent / f"{stack.workdir.name}.toml"
    config.write_text(stack.to_toml(), encoding="utf-8")
    return [sys.executable, "-m", "recstack", "retrain", "--config", str(config)]


def completed(stack: StackConfig) -> float:
    """Retrains to the end; returns the seconds that it took.

    Raises:
        RuntimeError: it did not publish.
    """
    began = time.monotonic()
    done = subprocess.run(command(stack), check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"retrain ended with {done.returncode}: {done.stdout[-2000:]} {done.stderr[-500:]}")
    return time.monotonic() - began


def undisturbed(stack: StackConfig, folder: Path) -> tuple[float, StackConfig]:
    """Retrains a copy of the folder; returns the seconds that it took and the copy."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stack.workdir, folder)
    twin = replace(stack, workdir=folder)
    return completed(twin), twin


def disturbed(stack: StackConfig, moments: Iterable[float], deadline: float, troubles: list[str]) -> int:
    """Retrains until a process comes to its end; returns how many were killed before.

    Args:
        stack: the recommender.
        moments: seconds after which each process is killed; after the last nothing is killed any more.
        deadline: by the monotonic clock; nothing is killed after it.
        troubles: what is found wrong is added to them.
    """
    kills = 0
    for moment in moments:
        if time.monotonic() + moment > deadline:
            break
        with subprocess.Popen(command(stack), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(moment)
                return kills
            process.kill()
            kills += 1
        for model in stack.export.models:
            layout = stack.layout.model(model)
            missing = [version for version in layout.versions() if not layout.manifest(version).exists()]
            troubles += [f"{model}: version {version} is incomplete" for version in missing]
    completed(stack)
    return kills


def differing(stack: StackConfig, twin: StackConfig) -> list[ModelName]:
    """The models whose newest versions answer other lists than the twin's to their own warm-up requests."""
    from trainer.evaluation.served import ServedModel, raw_queries

    queries = raw_queries(stack.features, stack.layout.dataset, "test")
    found: list[ModelName] = []
    for model in CHECKED:
        paths = [each.layout.model(model).version(max(each.layout.model(model).versions())) for each in (stack, twin)]
        ours, theirs = (ServedModel(model, path).top_k(queries, 10, exclude_seen=False) for path in paths)
        same = (ours.item_ids == theirs.item_ids).mean() > 0.999 and np.allclose(ours.scores, theirs.scores, atol=1e-4)
        if not same or max(stack.layout.model(model).versions()) != max(twin.layout.model(model).versions()):
            found.append(model)
    return found


class Load:
    """Asks the server for lists while a block runs, and counts what it answers."""

    def __init__(self, address: str, stack: StackConfig) -> None:
        self._address, self.requests, self.errors = address, 0, Counter[str]()
        self._recorded = [
            request
            for model in CHECKED
            for request in recorded_requests(stack.layout.model(model).warmup_requests(1), model, "serving_default")
        ]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return sum(self.errors.values())

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            outcome = open_loop(
                self._address, self._recorded, rate=REQUESTS_PER_SECOND, seconds=SLICE_SECONDS, timeout=60.0
            )
            self.errors += outcome.errors
            self.requests += len(outcome.milliseconds) + sum(outcome.errors.values())


if __name__ == "__main__":
    sys.exit(main())
