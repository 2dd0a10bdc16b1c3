"""A real server follows the labels of a canary there and back, and no call to the stable version fails."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from recstack.config import StackConfig
from recstack.local_server import free_port, local_server
from recstack.retraining.config import CanaryConfig, RetrainConfig
from recstack.retraining.traffic import read_page
from recstack.retraining.watch import Pages, watch_canary
from trainer.export.labels import set_stable, stable_versions
from trainer.export.server_files import METRICS_PATH, write_server_files

pytestmark = pytest.mark.slow

# Seconds after which the server takes something to hang; they decide nothing where all is well.
PATIENCE = 120.0


@pytest.fixture
def stack(checkerboard: StackConfig, tmp_path: Path) -> StackConfig:
    """One published version of `retrieval`, stable; a timing decides no test."""
    canary = CanaryConfig(largest_latency=1e9, smallest_requests=10)
    export = replace(checkerboard.export, models=("retrieval",), served_from=str(tmp_path / "work" / "saved_models"))
    retrain = RetrainConfig(publication="canary", canary=canary)
    stack = replace(checkerboard, workdir=tmp_path / "work", export=export, retrain=retrain)
    published = checkerboard.layout.model("retrieval")
    shutil.copytree(published.version(published.versions()[-1]), stack.layout.model("retrieval").version(1))
    set_stable(stack.layout, {"retrieval": 1})
    write_server_files(stack.layout, stack.export)
    return stack


@pytest.fixture
def address(stack: StackConfig, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    flags = [
        f"--rest_api_port={port}",
        f"--model_config_file={stack.layout.server_file('canary_labels')}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models",
        f"--monitoring_config_file={stack.layout.server_file('monitoring')}",
    ]
    with local_server(flags, tmp_path / "server.log"):
        yield f"http://127.0.0.1:{port}"


def publish(stack: StackConfig, version: int, files: Path) -> None:
    """Lets another model be the next version, as a canary."""
    target = stack.layout.model("retrieval").version(version)
    shutil.copytree(files, target.with_name("unfinished"))
    target.with_name("unfinished").rename(target)
    write_server_files(stack.layout, stack.export)


def ask(address: str, label: str) -> int:
    body = {"inputs": {"user_id": ["u0"], "history": [["i0", "i2"]], "timestamp": [1_700_000_000]}}
    return httpx.post(f"{address}/v1/models/retrieval/labels/{label}:predict", json=body, timeout=PATIENCE).status_code


def wait_for_version(address: str, label: str, version: int) -> None:
    """Asks until this version answers; the label always has a version that does."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ask(address, label)
        if read_page(f"{address}{METRICS_PATH}").traffic("retrieval", version).requests:
            return
        time.sleep(0.1)
    pytest.fail(f"version {version} has not answered for {label}")


def test_a_server_follows_a_canary_there_and_back(stack: StackConfig, checkerboard: StackConfig, address: str) -> None:
    stable: list[int] = []

    def send(_: str) -> None:
        for _ in range(12):
            stable.append(ask(address, "stable"))
            ask(address, "canary")

    pages = Pages(canary=(f"{address}{METRICS_PATH}",))
    # A model of another kind, which refuses what clients of `retrieval` send.
    publish(stack, 2, checkerboard.layout.model("ranking").version(1))
    wait_for_version(address, "canary", 2)
    ended = watch_canary(stack, pages, 10.0, send, pause=0.1)
    assert ended.outcome == "rolled back"
    assert "retrieval: 100.00% of the canary's 12 requests failed, beside 0.00%" in ended.reason
    assert stack.layout.model("retrieval").versions() == [1, 2, 3]
    deadline = time.monotonic() + PATIENCE
    while ask(address, "canary") != 200 and time.monotonic() < deadline:
        time.sleep(0.1)

    publish(stack, 4, stack.layout.model("retrieval").version(1))
    wait_for_version(address, "canary", 4)
    ended = watch_canary(stack, pages, 0.0, send)
    assert (ended.outcome, stable_versions(stack.layout)) == ("promoted", {"retrieval": 4})
    before = read_page(pages.canary[0]).traffic("retrieval", 4).requests
    deadline = time.monotonic() + PATIENCE
    while read_page(pages.canary[0]).traffic("retrieval", 4).requests == before and time.monotonic() < deadline:
        stable.append(ask(address, "stable"))
    assert read_page(pages.canary[0]).traffic("retrieval", 4).requests > before
    assert set(stable) == {200}
