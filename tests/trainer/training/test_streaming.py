"""Trainings whose events come from disk: they learn, go on where they stopped, and leave nothing behind."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.disk.layout import DatasetLayout
from features.disk.manifest import Manifest, read_manifest
from features.disk.shards import shard_name
from features.errors import ConfigError, InputError
from recstack.config import StackConfig
from tests.trainer.small_dataset import SCHEMA, write_small_dataset
from tests.trainer.test_stage import (
    RANKING,
    RETRIEVAL,
    InterruptedTrainingError,
    context,
    item_vectors,
)
from trainer.config.encoders import GRUConfig
from trainer.config.training import STREAMED_FROM, TrainingConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.data.labelled_pairs import LabelMoments, label_moments
from trainer.ranking.stage import RankingStage
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.cluster import Cluster
from trainer.training.inputs import is_streamed, stage_inputs
from trainer.training.progress import Progress
from trainer.training.streaming import open_events

STREAM = TrainingConfig(input="stream", block_events=20)
RETRIEVAL_STAGE = RetrievalStage(config=replace(RETRIEVAL, half_life=0.5, epochs=3, checkpoint_seconds=0.0))
# One row of 16 places a step, five steps an epoch, of 16 users with 4 events each.
SEQUENCE_STAGE = replace(
    RETRIEVAL_STAGE,
    config=replace(RETRIEVAL_STAGE.config, examples="sequence", encoder=GRUConfig(), batch_size=15),
)


def interrupt_after(steps: int):
    def progress(told: Progress) -> None:
        if told.step >= steps:
            raise InterruptedTrainingError

    return progress


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", [pytest.param(RETRIEVAL_STAGE, id="event"), pytest.param(SEQUENCE_STAGE, id="sequence")]
)
def test_a_streamed_training_goes_on_in_the_middle_of_an_epoch(small_dataset, tmp_path, monkeypatch, stage):
    monkeypatch.setattr("trainer.data.stored_events._EVENTS_A_CHUNK", 4)
    monkeypatch.setattr("trainer.training.loop._REPORT_SECONDS", 0.0)
    shaken, calm = tmp_path / "shaken", tmp_path / "calm"
    with pytest.raises(InterruptedTrainingError):  # in the second epoch, whose steps are two or one to a block
        train_stage(context(small_dataset, shaken, training=STREAM, progress=interrupt_after(9)), stage)
    kept = shaken / "retrieval" / "events" / "part-0-of-1" / "columns.json"
    times = [kept.stat().st_mtime_ns]
    watch = context(small_dataset, shaken, training=STREAM, progress=lambda told: times.append(kept.stat().st_mtime_ns))
    result = train_stage(watch, stage)
    assert len(set(times)) == 1  # not encoded anew
    assert result.manifest.counts["train_examples"] == (64 if stage is RETRIEVAL_STAGE else 5)
    train_stage(context(small_dataset, calm, training=STREAM), stage)
    vectors = item_vectors(small_dataset, shaken, stage.config)
    np.testing.assert_array_equal(vectors, item_vectors(small_dataset, calm, stage.config))
    assert not (shaken / "retrieval" / "events").exists()
    # Users stay with items of their parity, of which pairs become alike.
    alike = vectors @ vectors.T
    same = np.equal.outer(np.arange(len(alike)) % 2, np.arange(len(alike)) % 2)
    assert alike[same].mean() > alike[~same].mean()


class OneOfTwo(Cluster):
    """A worker that has as much as the other one."""

    num_replicas = 2

    def of_all(self, value: float) -> list[float]:
        return [value, value]

    def shards(self, files: Sequence[Path]) -> Sequence[Path]:
        return files


def test_workers_share_a_block(small_dataset, tmp_path):
    dataset = encode_dataset(SCHEMA, small_dataset)
    for cluster in (Cluster(), OneOfTwo(num_workers=2)):
        # Both read the same events here: there are twice as many of all workers then, and blocks of as many.
        where = replace(context(small_dataset, tmp_path, training=STREAM), cluster=cluster, events=tmp_path / "events")
        plan = RETRIEVAL_STAGE.make_examples(open_events(where, dataset, records="retrieval"), where)
        steps, own_batch = plan.block(0, 0, plan.steps_per_block).indices.shape
        assert STREAM.block_events // 2 < steps * own_batch * cluster.num_workers <= STREAM.block_events


@pytest.mark.slow
def test_ranking_streams_too(small_dataset, tmp_path):
    stage = RankingStage(config=replace(RANKING, epochs=2))
    streamed = train_stage(context(small_dataset, tmp_path / "streamed", training=STREAM), stage)
    in_memory = train_stage(context(small_dataset, tmp_path / "memory"), stage)
    assert streamed.manifest.counts == in_memory.manifest.counts
    # Other orders of the same examples: two epochs end in losses that are near each other, and far from log 2.
    assert streamed.manifest.metrics["loss"] == pytest.approx(in_memory.manifest.metrics["loss"], abs=0.1)


def test_moments_of_parts_are_those_of_all():
    from trainer.data.labelled_pairs import LabelledPairs

    generator = np.random.default_rng(0)
    labels = generator.normal(3.0, 2.0, [50, 2]).astype(np.float32)
    labels[generator.random([50, 2]) < 0.3] = np.nan
    labels[:10, 1] = np.nan  # a part without any
    weight = generator.random(50).astype(np.float32)
    rows = np.zeros(50, np.int32)
    whole = LabelledPairs(event=np.arange(50), candidate_row=rows, labels=labels, weight=weight)
    parts = [
        replace(whole, event=whole.event[part], labels=labels[part], weight=weight[part])
        for part in (slice(10), slice(10, 17), slice(17, 50))
    ]
    for found, place in zip(label_moments(parts), range(2), strict=True):
        known = ~np.isnan(labels[:, place])
        values, weights = labels[known, place].astype(np.float64), weight[known].astype(np.float64)
        mean = np.average(values, weights=weights)
        assert found.mean == pytest.approx(mean)
        assert found.deviation == pytest.approx(np.sqrt(np.average((values - mean) ** 2, weights=weights)))
    assert label_moments([replace(whole, labels=labels * np.nan)]) == (LabelMoments(), LabelMoments())


@pytest.fixture
def large_dataset(tmp_path: Path) -> DatasetLayout:
    """Said to be large by its manifest."""
    layout = write_small_dataset(tmp_path / "large")
    manifest = read_manifest(layout.manifest, "dataset")
    Manifest(
        kind="dataset",
        schema_fingerprint=manifest.schema_fingerprint,
        inputs=manifest.inputs,
        counts={"events_train": STREAMED_FROM},
    ).write(layout.manifest)
    return layout


def test_large_datasets_are_streamed_where_nothing_speaks_against_it(small_dataset, large_dataset):
    auto, svd = TrainingConfig(), RetrievalStage(config=replace(RETRIEVAL, initialisation="svd"))
    assert not is_streamed(RETRIEVAL_STAGE, auto, small_dataset)
    assert is_streamed(RETRIEVAL_STAGE, auto, large_dataset)
    assert not is_streamed(RETRIEVAL_STAGE, TrainingConfig(input="memory"), large_dataset)
    assert not is_streamed(svd, auto, large_dataset)
    with pytest.raises(ConfigError, match=r'training.input = \'stream\': expected "memory" or "auto", since.*svd'):
        is_streamed(svd, STREAM, large_dataset)


def test_streamed_and_loaded_trainings_are_runs_of_their_own(small_dataset):
    def inputs(training: TrainingConfig) -> dict[str, str]:
        return stage_inputs(RETRIEVAL_STAGE, SCHEMA, small_dataset, 0, "", training)

    assert inputs(TrainingConfig()) == inputs(TrainingConfig(input="memory"))
    assert inputs(STREAM) not in (inputs(TrainingConfig()), inputs(replace(STREAM, block_events=21)))


def test_the_configuration_refuses_what_cannot_be_streamed():
    stream = TrainingConfig(input="stream")
    with pytest.raises(ConfigError, match="svd"):
        StackConfig(features=SCHEMA, training=stream, retrieval=replace(RETRIEVAL, initialisation="svd"))
    assert StackConfig(features=SCHEMA, training=stream, retrieval=RETRIEVAL).training == stream
    with pytest.raises(ConfigError, match=r"training.block_events = 0: expected at least 1"):
        TrainingConfig(block_events=0)


@pytest.mark.slow
def test_workers_share_the_shards(tmp_path):
    files = [tmp_path / shard_name(number, 5) for number in range(5)]
    parts = [Cluster(num_workers=2, worker=worker).shards(files) for worker in range(2)]
    assert sorted([*parts[0], *parts[1]]) == files
    with pytest.raises(InputError, match="5 shards found, at least one for each of 6 workers expected"):
        Cluster(num_workers=6).shards(files)
