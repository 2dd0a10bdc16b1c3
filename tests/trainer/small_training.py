"""Trains the two-tower model on the small dataset from a table of a configuration file."""

from pathlib import Path
from typing import Any

from features.disk.layout import DatasetLayout, RunLayout
from features.disk.manifest import read_manifest
from features.serialization import structure
from tests.trainer.small_dataset import SCHEMA
from trainer.config.retrieval import RetrievalConfig
from trainer.restore import Trained, restore
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers
from trainer.stage import train_stage
from trainer.training.stage import StageContext

_QUICK = {"dimension": 8, "batch_size": 8, "epochs": 4, "optimizer": {"learning_rate": 0.03, "warmup_steps": 2}}


def train_and_restore(dataset: DatasetLayout, root: Path, table: dict[str, Any]) -> Trained[TwoTowers]:
    """Takes `[retrieval]` as a file would have it, trains, checks what the run keeps of it, and restores the model."""
    stage = RetrievalStage(config=structure(_QUICK | table, RetrievalConfig, "retrieval"))
    context = StageContext(schema=SCHEMA, dataset=dataset, run=RunLayout(root))
    train_stage(context, stage)
    kept = read_manifest(context.run.stage("retrieval").manifest, "run").config
    assert structure(kept, RetrievalConfig) == stage.config
    return restore(context, stage)
