import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout, RunLayout
from features.disk.manifest import StageResult
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import ConfigError, InputError, RecstackError
from tests.trainer.histories import histories as histories_of
from tests.trainer.small_dataset import SCHEMA, record, write_records, write_small_dataset
from trainer.config.augmentation import AugmentationConfig
from trainer.config.encoders import GRUConfig, MeanConfig, TransformerConfig
from trainer.config.evaluation import EvaluationConfig
from trainer.config.losses import BCEConfig, BPRConfig, GBCEConfig
from trainer.config.negatives import CrossBatchConfig, InBatchConfig, UniformConfig
from trainer.config.ranking import DCNConfig, RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.config.training import OptimizerConfig
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.ranking.stage import RankingStage
from trainer.restore import Trained, restore
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers
from trainer.retrieval.validation import RetrievalValidation
from trainer.stage import train_stage
from trainer.training.progress import Progress
from trainer.training.stage import StageContext

FAST = OptimizerConfig(learning_rate=0.03, warmup_steps=2)
RETRIEVAL = RetrievalConfig(dimension=8, batch_size=8, epochs=6, optimizer=FAST)
SEQUENCE = replace(RETRIEVAL, examples="sequence", encoder=TransformerConfig(dropout=0.2), initialisation="svd")
ENSEMBLE = replace(
    SEQUENCE,
    encoder=replace(SEQUENCE.encoder, side_features=True),
    ensemble=(GRUConfig(dropout=0.2, side_features=True),),
)
CHANGED = replace(SEQUENCE, augmentation=AugmentationConfig(crop=0.5, mask=0.2, substitute=0.2, neighbours=2))
HARD = replace(RETRIEVAL, negatives=CrossBatchConfig(memory=24, hard_negatives=2, index_steps=5))
AS_CONFIGURED = EvaluationConfig()
RANKING = RankingConfig(dimension=4, network=DCNConfig(hidden=(8,)), batch_size=16, epochs=6, optimizer=FAST)


class InterruptedTrainingError(Exception):
    pass


def interrupt_at(epoch: int):
    def progress(told: Progress) -> None:
        if told.epoch >= epoch:
            raise InterruptedTrainingError

    return progress


def context(dataset: DatasetLayout, root: Path, **changes: Any) -> StageContext:
    return replace(StageContext(schema=SCHEMA, dataset=dataset, run=RunLayout(root)), **changes)


def restored(dataset: DatasetLayout, root: Path, config: RetrievalConfig) -> Trained[TwoTowers]:
    return restore(context(dataset, root), RetrievalStage(config=config))


def train(
    dataset: DatasetLayout,
    root: Path,
    config: RetrievalConfig,
    evaluation: EvaluationConfig = AS_CONFIGURED,
    **changes: Any,
) -> StageResult:
    return train_stage(context(dataset, root, **changes), RetrievalStage(config=config, evaluation=evaluation))


def item_vectors(dataset: DatasetLayout, root: Path, config: RetrievalConfig) -> np.ndarray:
    trained = restored(dataset, root, config)
    return trained.model.embed_candidates(trained.candidates).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        pytest.param(RETRIEVAL, id="event"),
        pytest.param(ENSEMBLE, id="ensemble"),
        pytest.param(SEQUENCE, id="sequence"),
        pytest.param(replace(RETRIEVAL, examples="basket"), id="basket"),
        pytest.param(replace(RETRIEVAL, examples="set"), id="set"),
        pytest.param(replace(RETRIEVAL, negatives=InBatchConfig(), hidden=(8,), score="dot"), id="in_batch"),
        pytest.param(
            replace(RETRIEVAL, loss=GBCEConfig(), negatives=UniformConfig(num_negatives=8), id_dropout=0.1), id="gbce"
        ),
        pytest.param(replace(RETRIEVAL, loss=BPRConfig()), id="bpr"),
        pytest.param(HARD, id="hard"),
        pytest.param(CHANGED, id="augmentation"),
    ],
)
def test_learns_that_users_stay_with_their_parity(small_dataset, tmp_path, config):
    config = replace(config, epochs=20)
    result = train(small_dataset, tmp_path, config)
    assert not result.nothing_to_do
    assert result.manifest.metrics["ndcg@20"] > 0
    trained = restored(small_dataset, tmp_path, config)
    events = load_events(
        small_dataset.interactions("test"), trained.encoder, trained.candidates.rows(), records="retrieval"
    )
    first = np.flatnonzero(np.diff(events.record_of_event(), append=99))
    query = {
        "user_id": events.user["user_id"],
        "timestamp": events.context["timestamp"][first],
        "history": histories_of(events, first, 4),
    }
    scores = trained.model.query_tower(query) @ tf.transpose(trained.model.embed_candidates(trained.candidates))
    user, item = np.indices(scores.shape)
    same = scores.numpy()[user % 2 == item % 2].mean()
    assert same > scores.numpy()[user % 2 != item % 2].mean() + 0.3


@pytest.mark.slow
def test_same_call_again_has_nothing_to_do(small_dataset, tmp_path):
    first = train(small_dataset, tmp_path, RETRIEVAL)
    again = train(small_dataset, tmp_path, RETRIEVAL)
    assert (first.nothing_to_do, again.nothing_to_do) == (False, True)
    assert again.manifest == first.manifest


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(RETRIEVAL, id="event", marks=pytest.mark.slow),
        pytest.param(SEQUENCE, id="sequence", marks=pytest.mark.slow),
        pytest.param(replace(ENSEMBLE, negatives=HARD.negatives), id="ensemble", marks=pytest.mark.slow),
        pytest.param(HARD, id="hard", marks=pytest.mark.slow),
        pytest.param(CHANGED, id="augmentation", marks=pytest.mark.slow),
    ],
)
def test_interrupted_training_ends_as_an_uninterrupted_one(small_dataset, tmp_path, config):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(small_dataset, whole, config)
    with pytest.raises(InterruptedTrainingError):
        train(small_dataset, broken, config, progress=interrupt_at(3))
    with pytest.raises(InputError, match="recstack train"):
        restored(small_dataset, broken, config)
    train(small_dataset, broken, config)
    np.testing.assert_array_equal(
        item_vectors(small_dataset, broken, config), item_vectors(small_dataset, whole, config)
    )


@pytest.mark.slow
def test_histories_that_are_never_changed_train_to_the_last_bit_as_without(small_dataset, tmp_path):
    # On, but a draw below the share would be one of 2^23 that are possible.
    off = replace(SEQUENCE, epochs=2)
    barely = replace(off, augmentation=AugmentationConfig(crop=1e-12, mask=1e-12, substitute=1e-12))
    vectors = []
    for name, config in (("off", off), ("on", barely)):
        train(small_dataset, tmp_path / name, config)
        vectors.append(item_vectors(small_dataset, tmp_path / name, config))
    np.testing.assert_array_equal(*vectors)


@pytest.mark.slow
def test_another_configuration_is_neither_restored_nor_trained_over(small_dataset, tmp_path):
    train(small_dataset, tmp_path, RETRIEVAL)
    before = item_vectors(small_dataset, tmp_path, RETRIEVAL)
    other = replace(RETRIEVAL, dimension=4, optimizer=replace(RETRIEVAL.optimizer, learning_rate=0.25))
    with pytest.raises(InputError, match="another configuration") as caught:
        restored(small_dataset, tmp_path, other)
    rate = RETRIEVAL.optimizer.learning_rate
    assert str(caught.value).splitlines()[1:] == [
        f"  retrieval.dimension: trained with {RETRIEVAL.dimension}, now 4",
        f"  retrieval.optimizer.learning_rate: trained with {rate}, now 0.25",
    ]
    with pytest.raises(InputError, match="train in another run"):
        train(small_dataset, tmp_path, other)
    np.testing.assert_array_equal(item_vectors(small_dataset, tmp_path, RETRIEVAL), before)


@pytest.mark.slow
def test_ranking_tells_liked_from_disliked(small_dataset, tmp_path):
    config = replace(RANKING, epochs=20, patience=0)
    stage = RankingStage(config=config)
    result = train_stage(context(small_dataset, tmp_path), stage)
    assert result.manifest.metrics["label/auc"] > 0.9
    trained = restore(context(small_dataset, tmp_path), stage)
    query = trained.encoder.encode_query(
        {
            "user_id": tf.constant(["u2", "u2"]),
            "history": tf.constant([["i4", "i6"]] * 2),
            "timestamp": tf.constant([9, 9], tf.int64),
        }
    )
    candidate = trained.encoder.encode_candidate(
        {"item_id": tf.constant(["i8", "i9"]), "parity": tf.constant([["even"], ["odd"]])}
    )
    liked, disliked = trained.model(query, candidate)["label"].numpy()
    assert liked > disliked


@pytest.mark.slow
def test_diverging_training_says_what_to_do(small_dataset, tmp_path):
    config = replace(RETRIEVAL, score="dot", optimizer=OptimizerConfig(learning_rate=1e30, warmup_steps=0))
    with pytest.raises(RecstackError, match=r"optimizer\.learning_rate"):
        train(small_dataset, tmp_path, config)


def test_dataset_of_another_schema_is_refused(tmp_path):
    dataset = write_small_dataset(tmp_path / "data")
    schema = replace(SCHEMA, query=tuple(f for f in SCHEMA.query if f.name != "history"))
    with pytest.raises(InputError, match="schema"):
        train(dataset, tmp_path / "run", RETRIEVAL, schema=schema)


def test_no_sequence_without_a_history(small_dataset, tmp_path):
    schema = replace(SCHEMA, query=tuple(f for f in SCHEMA.query if f.name != "history"))
    with pytest.raises(ConfigError, match=r"retrieval\.examples.*history"):
        train(small_dataset, tmp_path, SEQUENCE, schema=schema)


def test_set_of_an_ordered_encoder_is_refused():
    with pytest.raises(ConfigError, match=r"retrieval\.examples"):
        RetrievalConfig(examples="set", encoder=GRUConfig())


@pytest.mark.slow
def test_validation_counts_hits_among_unseen_items(small_dataset, tmp_path):
    config = replace(RETRIEVAL, epochs=1)
    train(small_dataset, tmp_path, config)
    trained = restored(small_dataset, tmp_path, config)
    events = load_events(
        small_dataset.interactions("validation"), trained.encoder, trained.candidates.rows(), records="retrieval"
    )
    validation = RetrievalValidation(
        events, trained.encoder, trained.candidates, EvaluationConfig(), num_queries=10, seed=0
    )
    assert len(validation) == 10
    # Twelve items, so every target that was not seen is within the first 20.
    assert validation(trained.model)["recall@20"] == 1.0


@pytest.mark.parametrize("changes", [{}, {"ensemble": (MeanConfig(),)}, {"loss": BCEConfig()}])
@pytest.mark.slow
def test_trains_with_repeat(small_dataset, tmp_path, changes):
    """Its own weights are learnt, kept and restored; without times there are none for ages."""
    config = replace(RETRIEVAL, examples="basket", repeat=1.0, epochs=2, **changes)
    train(small_dataset, tmp_path, config, EvaluationConfig(exclude_seen=False))
    layer = restored(small_dataset, tmp_path, config).model.repeat_layer
    assert layer.ages is None
    assert float(layer.scale) != 0.0


class ScoresByHistory:
    """In place of a trained model: a query's vector counts the items of its history, an item's is its own place."""

    config = RetrievalConfig()

    def __init__(self, rows_of_index: np.ndarray) -> None:
        self.rows = tf.constant(rows_of_index, tf.float32)

    def query_tower(self, query):
        return tf.reduce_sum(tf.gather(self.rows, query["history"]), axis=1)

    def embed_candidates(self, candidates):
        return tf.eye(len(candidates))

    def repeats(self, query):
        return None


def test_validation_judges_as_the_evaluation_does(small_dataset, tmp_path):
    """A customer buys 0 and 1, then 0 and 1 again, then 7: ranking what was bought finds the next basket alone."""
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    candidates = load_catalogue(small_dataset, encoder)
    write_records(tmp_path / "x", [record(0, [0, 1, 0, 1, 7], [1, 1, 2, 2, 3], num_context=2)])
    events = load_events(tmp_path / "x", encoder, candidates.rows(), records="retrieval")
    rows = np.zeros([encoder.encoded(SCHEMA.item_id_feature).num_indices, len(candidates)])
    rows[candidates.features["item_id"].numpy(), np.arange(len(candidates))] = 1.0

    def ndcg(evaluation: EvaluationConfig) -> float:
        validation = RetrievalValidation(events, encoder, candidates, evaluation, num_queries=1, seed=0)
        return validation(ScoresByHistory(rows))["ndcg@10"]

    assert ndcg(EvaluationConfig(exclude_seen=False, targets="next")) == pytest.approx(1.0)
    assert ndcg(EvaluationConfig(exclude_seen=False, targets="all")) < 1.0
    assert ndcg(EvaluationConfig(exclude_seen=True, targets="next")) == 0.0


@pytest.mark.slow
def test_a_stage_that_was_validated_otherwise_is_another_one(small_dataset, tmp_path):
    config = replace(RETRIEVAL, epochs=1)
    train(small_dataset, tmp_path, config)
    assert train(small_dataset, tmp_path, config, EvaluationConfig(cutoffs=(5,))).nothing_to_do
    with pytest.raises(InputError, match="train in another run"):
        train(small_dataset, tmp_path, config, EvaluationConfig(exclude_seen=False))


def test_raw_ratings_as_ranking_labels_are_refused(tmp_path: Path) -> None:
    dataset = write_small_dataset(tmp_path / "dataset")
    shutil.rmtree(dataset.ranking("train"))
    write_records(dataset.ranking("train"), [record(0, [0, 2], [1, 2], labels=[5.0, 1.0])])
    with pytest.raises(InputError, match=r"label 5 of task 'label' found, expected 0 to 1.*ranking_label"):
        train_stage(context(dataset, tmp_path / "run"), RankingStage(config=RANKING))
