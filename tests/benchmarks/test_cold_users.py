"""What `benchmarks/cold_users.py` tells models and baselines of users that nobody knows."""

import cold_users
import numpy as np
import pytest
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import SCHEMA, write_small_dataset
from trainer.config.evaluation import EvaluationConfig
from trainer.data.batches import gather_query
from trainer.data.encoded_dataset import encode_dataset
from trainer.evaluation.queries import JudgedSplit
from trainer.evaluation.retrieval import load_data
from trainer.metrics.protocol import UNKNOWN
from trainer.restore import Trained

OUTSIDE_THE_VOCABULARY = 1


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[SchemaEncoder, JudgedSplit]:
    layout = write_small_dataset(tmp_path_factory.mktemp("cold-users"))
    dataset = encode_dataset(SCHEMA, layout)
    trained = Trained(encoder=dataset.encoder, model=None, candidates=dataset.candidates)
    return dataset.encoder, load_data(trained, layout, EvaluationConfig()).judged


def history_of_model(split: JudgedSplit) -> list[list[int]]:
    """Encoded items of each query's history; catalogue rows come two special indices earlier."""
    query = gather_query(split.events, SCHEMA)(tf.constant(split.asked_at))
    return [[int(index) - 2 for index in row if index > 0] for row in query["history"].numpy()]


def history_of_baselines(split: JudgedSplit) -> list[list[int]]:
    history = split.queries.history
    return [history.slice(row, row + 1).values.tolist() for row in range(len(history))]


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_models_and_baselines_are_told_the_same_last_events(judged, length: int) -> None:
    _, split = judged
    cut = cold_users.cut(split, length)
    expected = [row[len(row) - length :] for row in history_of_baselines(split)]
    assert history_of_baselines(cut) == expected
    assert history_of_model(cut) == expected
    np.testing.assert_array_equal(cut.queries.targets.values, split.queries.targets.values)
    np.testing.assert_array_equal(cut.queries.seen.values, split.queries.seen.values)


def test_a_history_that_is_shorter_stays_whole(judged) -> None:
    _, split = judged
    assert history_of_baselines(cold_users.cut(split, 99)) == history_of_baselines(split)


def test_only_who_the_user_is_is_hidden(judged) -> None:
    encoder, split = judged
    stranger = cold_users.without_users(split, encoder)
    assert set(stranger.events.user["user_id"]) == {OUTSIDE_THE_VOCABULARY}
    assert set(stranger.queries.user_rows) == {UNKNOWN}
    assert history_of_model(stranger) == history_of_model(split)


def test_the_usual_evaluation_is_there_where_the_user_id_is_learnt_from(judged) -> None:
    encoder, split = judged
    rows = dict(cold_users.cut_splits(split, encoder))
    assert list(rows) == ["0", "1", "2", "5", "10", "whole", "whole, and the user's id"]
    assert rows["whole, and the user's id"] is split
