"""What the list ranker is told of times is served as it was trained: sent, or known of the user."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from features.disk.layout import SPLITS
from features.spec.base import Feature
from features.spec.history import HistoryTimesFeature
from features.spec.time import TimestampFeature
from recstack.config import StackConfig
from recstack.stages import export, prepare, stage_context, train
from tests.checkerboard import write_checkerboard
from tests.trainer.export.loading import load
from trainer.cascade.lists import Histories, histories_of
from trainer.cascade.validation import Verdict
from trainer.config.cascade import ListRankerConfig
from trainer.config.index import ExactConfig
from trainer.evaluation.cascade import CascadeOrders, cascade_orders
from trainer.evaluation.queries import JudgedSplit
from trainer.evaluation.retrieval import load_data
from trainer.export.query import relative_times
from trainer.restore import Trained, restore
from trainer.stage import stages_of

pytestmark = pytest.mark.slow

LIMIT = 6
RANKER = ListRankerConfig(
    enabled=True, candidates=12, folds=1, gap=0.0, window=0.3, members=1, hidden=(8,), batch_size=8, epochs=4
)


def _with_request_time(stack: StackConfig) -> list[Feature]:
    """The query's features; the time of a request is there for the list ranker alone."""
    return [
        replace(feature, parts=()) if isinstance(feature, TimestampFeature) else feature
        for feature in stack.features.query
    ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """The checkerboard with the times of histories; users may get what they had."""
    stack = write_checkerboard(tmp_path_factory.mktemp("times"))
    stack = replace(
        stack,
        features=replace(stack.features, query=(*_with_request_time(stack), HistoryTimesFeature())),
        retrieval=replace(stack.retrieval, epochs=1),
        list_ranking=RANKER,
        evaluation=replace(stack.evaluation, exclude_seen=False),
        index=ExactConfig(tuned_k=5),
        export=replace(stack.export, models=("recommender",)),
    )
    with pytest.MonkeyPatch.context() as patch:
        # Whether it pays here is no matter: its order has to be served.
        patch.setattr("trainer.export.assembly.verdict", lambda metrics: Verdict(True, "for the test"))
        prepare(stack)
        for name in ("retrieval", "list_ranking"):
            train(stack, name)
        export(stack)
    return stack


def test_examples_ask_for_what_the_configuration_asks(stack: StackConfig) -> None:
    body = json.loads(stack.layout.model("recommender").extra(1).example("serving_default", "rest").read_text("utf-8"))
    assert body["inputs"]["exclude_seen"] is False


@pytest.fixture(scope="module")
def trained(stack: StackConfig) -> Trained:
    return restore(stage_context(stack), stages_of(stack)["list_ranking"])


@pytest.fixture(scope="module")
def judged(stack: StackConfig, trained: Trained) -> JudgedSplit:
    return load_data(trained, stage_context(stack).dataset, stack.evaluation).judged


@pytest.fixture(scope="module")
def orders(stack: StackConfig, trained: Trained, judged: JudgedSplit) -> CascadeOrders:
    return cascade_orders(trained, stage_context(stack), judged, stages_of(stack)["list_ranking"], known=SPLITS)


def users(judged: JudgedSplit, trained: Trained) -> list[bytes]:
    vocabulary = trained.encoder.lookup("user_id").vocabulary
    records = judged.events.record_of_event()[judged.asked_at]
    tokens = judged.events.user["user_id"][records] - vocabulary.first_token_index
    return [vocabulary.tokens[token].encode() for token in tokens]


def answer(stack: StackConfig, trained: Trained, judged: JudgedSplit, histories: Histories) -> dict[str, np.ndarray]:
    """One request with everything that the evaluation knows of the queries, and histories that may differ."""
    signature = load(stack, "recommender").signatures["serving_default"]
    names = np.array([b"", *trained.candidates.item_ids.numpy()], object)
    sent = {
        "user_id": tf.constant(users(judged, trained)),
        "history": tf.constant(names[1 + histories.rows], tf.string),
        "history_timestamps": tf.constant(histories.times),
        "timestamp": tf.constant(histories.asked_at),
        "limit": tf.constant(LIMIT),
        "exclude_seen": tf.constant(False),
    }
    defaults = {
        alias: tf.constant([[""]]) if spec.dtype == tf.string else tf.constant([np.nan])
        for alias, spec in signature.structured_input_signature[1].items()
        if alias not in sent
    }
    return {alias: values.numpy() for alias, values in signature(**(defaults | sent)).items()}


def test_the_saved_model_scores_as_the_evaluation_does(
    stack: StackConfig, trained: Trained, judged: JudgedSplit, orders: CascadeOrders
) -> None:
    found = answer(stack, trained, judged, histories_of(judged.events, judged.asked_at, RANKER.history))
    chances = scipy.special.softmax(orders.list_ranker_scores, axis=1)
    np.testing.assert_allclose(found["scores"], chances[:, :LIMIT], rtol=1e-3)
    ids = trained.candidates.item_ids.numpy()
    np.testing.assert_array_equal(found["item_ids"], ids[orders.list_ranker[:, :LIMIT]])


def test_known_histories_have_the_times_of_the_log(stack: StackConfig, trained: Trained, judged: JudgedSplit) -> None:
    """The whole history of each user, the test's events included, sent and looked up."""
    events = judged.events
    last = events.record_splits[1:] - 1
    rows = [events.candidate_row[start:end] for start, end in zip(events.record_splits, last + 1, strict=False)]
    width = max(map(len, rows))
    whole = np.array([np.pad(row, (0, width - len(row)), constant_values=-1) for row in rows])
    times = np.array(
        [
            np.pad(events.timestamp[start:end], (0, width - (end - start)))
            for start, end in zip(events.record_splits, last + 1, strict=False)
        ]
    )
    records = events.record_of_event()[judged.asked_at]
    asked_at = events.timestamp[last][records] + 3600
    sent = Histories(rows=whole[records], times=times[records], asked_at=asked_at)
    known = Histories(np.full_like(sent.rows[:, :1], -1), np.zeros_like(sent.times[:, :1]), asked_at)
    other = Histories(sent.rows, np.where(sent.times > 0, sent.times[:, :1], 0), asked_at)
    later = known._replace(asked_at=asked_at + 30 * 86_400)
    scores = [answer(stack, trained, judged, each)["scores"] for each in (sent, known, other, later)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4)
    assert np.abs(scores[0] - scores[2]).max() > 1e-3  # other times, other scores
    assert np.abs(scores[1] - scores[3]).max() > 1e-3  # and so a month later


def test_the_histories_of_the_second_stage_are_items_and_times_in_four_bytes_each(
    stack: StackConfig, trained: Trained
) -> None:
    saved = stack.layout.model("recommender").version(1) / "variables" / "variables"
    reader = tf.train.load_checkpoint(str(saved))
    shape = [1 + len(trained.encoder.lookup("user_id").vocabulary.tokens), RANKER.history]
    types = [
        reader.get_variable_to_dtype_map()[name]
        for name, of_variable in reader.get_variable_to_shape_map().items()
        if of_variable == shape
    ]
    assert types == [tf.int32] * 2


@pytest.mark.parametrize("last", [1_700_000_000, 4_000_000_000])
def test_times_are_kept_to_the_second(last: int) -> None:
    """Of the longest spans in the bytes that they take."""
    times = np.array([[1_000_000_000, 1_000_000_001, last], [0, 1_500_000_000, 0]])
    since, stored = relative_times(times)
    assert stored.dtype == (np.int32 if last < 3_000_000_000 else np.int64)
    np.testing.assert_array_equal(np.where(stored == 0, 0, stored.astype(np.int64) + since), times)


def test_histories_without_any_time_stay_unknown() -> None:
    _, stored = relative_times(np.zeros((2, 3), np.int64))
    assert not stored.any()
    assert relative_times(np.zeros((0, 3), np.int64))[1].shape == (0, 3)


def test_a_request_without_its_time_is_asked_at_the_newest_event(
    stack: StackConfig, trained: Trained, judged: JudgedSplit
) -> None:
    history = histories_of(judged.events, judged.asked_at, RANKER.history)
    newest = history._replace(asked_at=history.times.max(axis=1))
    without = history._replace(asked_at=np.zeros_like(history.asked_at))
    scores = [answer(stack, trained, judged, each)["scores"] for each in (newest, without)]
    np.testing.assert_allclose(*scores, rtol=1e-6)
