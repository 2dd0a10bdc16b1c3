"""`kill -9` in the middle of a training: its lock goes with it, and the next one goes on in the same run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.disk.layout import DatasetLayout, RunLayout, RunsLayout
from tests.trainer.small_dataset import SCHEMA
from trainer.config.retrieval import RetrievalConfig
from trainer.restore import restore
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.cluster import Cluster
from trainer.training.inputs import stage_inputs
from trainer.training.progress import Progress, silent
from trainer.training.runs import make_current, opened_stage, run_of
from trainer.training.stage import StageContext

STAGE = RetrievalStage(config=RetrievalConfig(dimension=4, epochs=6, batch_size=8, checkpoint_seconds=0.0))

# Waits for its end once it has trained for two epochs.
VICTIM = """
import sys, time
from pathlib import Path
from features.disk.layout import DatasetLayout, RunsLayout
from tests.trainer.training.test_killed import train

def wait(progress):
    if progress.epoch >= 2:
        print("ready", flush=True)
        time.sleep(600)

train(DatasetLayout(Path(sys.argv[1])), RunsLayout(Path(sys.argv[2])), wait)
"""


def train(dataset: DatasetLayout, runs: RunsLayout, progress=silent) -> RunLayout:
    inputs = {"retrieval": stage_inputs(STAGE, SCHEMA, dataset, 0)}
    run = run_of(runs, inputs)
    context = StageContext(schema=SCHEMA, dataset=dataset, run=run, progress=progress)
    with opened_stage(runs, run, "retrieval", inputs, Cluster()):
        train_stage(context, STAGE)
    make_current(runs, run)
    return run


def item_vectors(dataset: DatasetLayout, run: RunLayout) -> np.ndarray:
    trained = restore(StageContext(schema=SCHEMA, dataset=dataset, run=run), STAGE)
    vectors: np.ndarray = trained.model.embed_candidates(trained.candidates).numpy()
    return vectors


@pytest.mark.slow
def test_a_killed_training_goes_on_in_its_run(small_dataset: DatasetLayout, tmp_path: Path) -> None:
    calm, shaken = RunsLayout(tmp_path / "calm"), RunsLayout(tmp_path / "shaken")
    command = [sys.executable, "-c", VICTIM, str(small_dataset.root), str(shaken.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "ready\n"
        victim.kill()
    (interrupted,) = shaken.all()
    assert interrupted.finished() == ()
    assert shaken.current is None
    reports: list[Progress] = []
    run = train(small_dataset, shaken, reports.append)
    assert reports[0].epoch == 2  # from its beginning, the first report would be of the first epoch
    assert shaken.all() == [run] == [interrupted] == [shaken.current]
    np.testing.assert_array_equal(
        item_vectors(small_dataset, run), item_vectors(small_dataset, train(small_dataset, calm))
    )
