"""`kill -9` at any moment, then the same command again: the same result, and nothing half-written."""

import gzip
import hashlib
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import MODEL_NAMES
from recstack.config import StackConfig
from tests.checkerboard import write_checkerboard

STAGES = ("prepare", "train", "export")


def command(config: Path, verb: str) -> list[str]:
    return [sys.executable, "-m", "recstack", verb, "--config", str(config)]


def run_to_the_end(config: Path, verb: str) -> str:
    done = subprocess.run(command(config, verb), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def start(config: Path, verb: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command(config, verb), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_once_it_writes(config: Path, verb: str, workdir: Path) -> None:
    """Each verb's first file lies in a folder of its own."""
    before = set(workdir.glob("*"))
    process = start(config, verb)
    while set(workdir.glob("*")) <= before and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def kill_after(config: Path, verb: str, seconds: float) -> None:
    """Kills a process that has not ended by then."""
    process = start(config, verb)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def record_digest(stack: StackConfig) -> str:
    """Of the records of all shards, not of their compressed bytes, which may differ."""
    files = sorted(path for path in stack.layout.dataset.root.rglob("part-*") if path.is_file())
    return hashlib.sha256(b"".join(gzip.decompress(path.read_bytes()) for path in files)).hexdigest()


def item_vectors(stack: StackConfig) -> np.ndarray:
    loaded = tf.saved_model.load(str(stack.layout.model("retrieval_exact").version(1)))
    users = tf.constant([f"u{n}" for n in range(40)])
    answer = loaded.signatures["embed_query"](
        user_id=users, history=tf.constant([[""]] * 40), timestamp=tf.zeros(40, tf.int64)
    )
    return np.asarray(answer["embedding"])


def write_config(folder: Path) -> tuple[StackConfig, Path]:
    folder.mkdir()
    stack = write_checkerboard(folder)
    config = folder / "stack.toml"
    config.write_text(stack.to_toml())
    return stack, config


@pytest.mark.slow
def test_killed_stages_end_as_ones_that_were_not(tmp_path: Path) -> None:
    calm, calm_config = write_config(tmp_path / "calm")
    shaken, shaken_config = write_config(tmp_path / "shaken")
    draw = random.Random(0)
    for verb in STAGES:
        began = time.monotonic()
        run_to_the_end(calm_config, verb)
        length = time.monotonic() - began
        kill_once_it_writes(shaken_config, verb, shaken.workdir)
        for _ in range(3):
            kill_after(shaken_config, verb, draw.uniform(0.3, 0.95) * length)
        run_to_the_end(shaken_config, verb)
        assert "nothing to do" in run_to_the_end(shaken_config, verb)
    assert record_digest(shaken) == record_digest(calm)
    # Each kill was followed by the same training, which went on in the same run.
    assert shaken.layout.runs.all() == [shaken.layout.current_run]
    np.testing.assert_allclose(item_vectors(shaken), item_vectors(calm), rtol=1e-5, atol=1e-6)
    for model in MODEL_NAMES:
        base = shaken.layout.model(model).base
        versions = [path.name for path in base.iterdir()]
        # A kill after a publication and before the last model leaves version 1; the next run must not publish it anew.
        assert versions == ["1"], model
        assert json.loads(shaken.layout.model(model).manifest(1).read_text())["kind"] == "saved_model"
