"""`prepare` on a real Flink cluster of two task managers, one of which is killed in the middle."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.config import PipelineConfig, TableSource
from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import DatasetLayout
from features.schema import Schema
from recstack.local_server import free_port
from tests.beam_pipelines.conftest import Prepared
from tests.servers.ledger import missing, report

_ROOT = Path(__file__).parents[2]
_SCRIPT = _ROOT / "deploy" / "beam" / "flink" / "cluster.sh"
_PORTS = ("FLINK_REST_PORT", "FLINK_RPC_PORT", "BEAM_JOB_PORT", "BEAM_ARTIFACT_PORT", "BEAM_EXPANSION_PORT")
_SECONDS_TO_START = 300
_SECONDS_TO_RUN = 900
_AT_WORK = ("DEPLOYING", "INITIALIZING", "RUNNING")


@dataclass(frozen=True)
class Cluster:
    """Two task managers, a job manager and Beam's job service."""

    directory: Path
    """Logs and process ids."""
    ports: dict[str, int]
    """By `_PORTS`."""

    @property
    def options(self) -> tuple[str, ...]:
        """How Beam reaches it."""
        return (
            f"--job_endpoint=localhost:{self.ports['BEAM_JOB_PORT']}",
            "--environment_type=PROCESS",
            f'--environment_config={{"command": "{_SCRIPT.with_name("worker.py")}"}}',
            "--parallelism=2",
        )

    def ask(self, path: str) -> Any:
        """What the job manager answers."""
        with urllib.request.urlopen(f"http://localhost:{self.ports['FLINK_REST_PORT']}{path}", timeout=10) as answer:
            return json.load(answer)

    def task_managers(self) -> int:
        """How many have reported to the job manager, which may not be up yet."""
        try:
            return len(self.ask("/taskmanagers")["taskmanagers"])
        except OSError:
            return 0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    for program, package in (("java", "openjdk-17-jre-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            missing("flink", f"no {program} here; install Debian's package {package}")
    directory = tmp_path / "cluster"
    bins = str(Path(sys.executable).parent)
    ports = {name: free_port() for name in _PORTS}
    found = Cluster(directory, ports)
    environment = os.environ | {name: str(port) for name, port in ports.items()}
    environment |= {"PATH": f"{bins}:{os.environ['PATH']}", "PYTHONPATH": str(_ROOT)}
    watchdog = threading.Timer(_SECONDS_TO_RUN, subprocess.run, args=([_SCRIPT, "stop", directory],))
    try:
        done = subprocess.run(
            [_SCRIPT, "start", directory], capture_output=True, text=True, env=environment, timeout=_SECONDS_TO_START
        )
        if done.returncode and "Could not" in done.stdout + done.stderr:
            missing("flink", "Maven cannot get Flink and Beam's job service")
        assert done.returncode == 0, done.stdout + done.stderr
        end = time.monotonic() + _SECONDS_TO_START
        while not (found.task_managers() == 2 and "JobService started" in (directory / "jobservice.log").read_text()):
            assert time.monotonic() < end, "the cluster did not start"
            time.sleep(0.5)
        report("flink", found.ask("/overview")["flink-version"])
        # A job that never ends fails once its cluster is gone.
        watchdog.start()
        yield found
    finally:
        watchdog.cancel()
        subprocess.run([_SCRIPT, "stop", directory], check=True)


def kill_a_task_manager(cluster: Cluster, job_name: str, ended: threading.Event, killed: threading.Event) -> None:
    """Kills the task manager that the first step at work of the job is on; gives up when the work has ended."""
    while not ended.wait(0.02):
        with suppress(OSError):  # a busy job manager answers late
            for task_manager in at_work(cluster, job_name):
                os.kill(int((cluster.directory / f"{task_manager}.pid").read_text()), signal.SIGKILL)
                killed.set()
                return


def at_work(cluster: Cluster, job_name: str) -> Iterator[str]:
    """Task managers of the steps of a running job that have begun and not ended."""
    for job in cluster.ask("/jobs/overview")["jobs"]:
        if job["name"] == job_name and job["state"] == "RUNNING":
            for vertex in cluster.ask(f"/jobs/{job['jid']}")["vertices"]:
                for step in cluster.ask(f"/jobs/{job['jid']}/vertices/{vertex['id']}")["subtasks"]:
                    task_manager = step.get("taskmanager-id", "")
                    if step["status"] in _AT_WORK and task_manager.startswith("taskmanager"):
                        yield task_manager


@pytest.mark.slow
def test_flink_gives_the_same_dataset_though_a_task_manager_dies(
    cluster: Cluster, tmp_path: Path, ids_only: Schema
) -> None:
    random = np.random.default_rng(0)
    columns = {"user_id": random.integers(0, 2000, 50_000), "item_id": random.integers(0, 500, 50_000)}
    times = {"timestamp": random.integers(1_600_000_000, 1_700_000_000, 50_000)}
    pq.write_table(pa.table(columns | times), tmp_path / "events.parquet", row_group_size=10_000)
    source = TableSource(path=str(tmp_path / "events.parquet"))

    config = PipelineConfig(report=False, interactions=source, runner="portable", runner_options=cluster.options)
    killed, attempts = threading.Event(), itertools.count()
    while not killed.is_set():  # a fast machine may have sorted before anybody has looked
        on_flink, ended = DatasetLayout(tmp_path / f"flink-{next(attempts)}"), threading.Event()

        def told(what: str, ended: threading.Event = ended) -> None:
            if what.startswith("sorting"):
                arguments = (cluster, "recstack-sort", ended, killed)
                threading.Thread(target=kill_a_task_manager, args=arguments, daemon=True).start()

        try:
            manifest = prepare_dataset(ids_only, config, on_flink, seed=1, progress=told).manifest
        finally:
            ended.set()
    here = DatasetLayout(tmp_path / "local")
    local = prepare_dataset(ids_only, PipelineConfig(report=False, interactions=source), here, seed=1).manifest
    assert dict(manifest.counts) == dict(local.counts)
    assert Prepared(manifest, False, on_flink).digests() == Prepared(local, False, here).digests()
    in_order = sorted(cluster.ask("/jobs/overview")["jobs"], key=lambda job: job["start-time"])
    jobs = {job["name"]: job for job in in_order}  # the last attempt's
    assert {name: job["state"] for name, job in jobs.items()} == {
        f"recstack-{name}": "FINISHED" for name in ("read", "sort", "learn", "write")
    }
    # The kill was felt: Flink restarted the job, and one task manager is left.
    history = cluster.ask(f"/jobs/{jobs['recstack-sort']['jid']}/exceptions")["exceptionHistory"]["entries"]
    assert history
    assert cluster.task_managers() == 1
    # Another engine is no other input.
    assert prepare_dataset(ids_only, PipelineConfig(report=False, interactions=source), on_flink, seed=1).nothing_to_do
