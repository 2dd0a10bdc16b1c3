"""The signature `explain`: it answers as the recommendation does, and its contributions sum up to its scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from recstack.config import StackConfig
from tests.checkerboard import NUM_ITEMS
from tests.trainer.export.loading import load
from tests.trainer.export.test_servables import choices, request, restrictions
from trainer.cascade.features import CandidateFeatures
from trainer.cascade.model import ListRanker
from trainer.cascade.similarities import SameItem
from trainer.config.cascade import ListRankerConfig
from trainer.export.explanations import Answer, explain_answer
from trainer.export.orders import Found, ListOrder, Order, RetrievalOrder
from trainer.export.signatures import Input, make_signature
from trainer.index.base import TopK
from trainer.index.item_ids import ItemIds


def call(stack: StackConfig, signature: str, users: list[str], **more: tf.Tensor) -> dict[str, np.ndarray]:
    given = {"limit": tf.constant(4)} | choices() | restrictions() | request(users) | more
    answer = load(stack, "recommender").signatures[signature](**given)
    return {name: values.numpy() for name, values in answer.items()}


def total(answer: dict[str, np.ndarray]) -> np.ndarray:
    return answer["baseline"][:, None] + answer["feature_contributions"].sum(axis=-1)


@pytest.mark.slow
def test_it_answers_as_the_recommendation_does_and_explains_each_score(checkerboard: StackConfig) -> None:
    users = ["u8", "u3", "nobody"]
    plain, explained = (call(checkerboard, name, users) for name in ("serving_default", "explain"))
    for name, values in plain.items():
        np.testing.assert_array_equal(values, explained[name])
    np.testing.assert_allclose(total(explained), np.log(plain["scores"]), atol=0.05)
    names, groups = (explained[f"feature_{each}"].astype(str) for each in ("names", "groups"))
    assert names[0].tolist() == ["retrieval_score", "item_id", "title", "number", "remainders", "request"]
    assert groups[2].tolist() == ["retrieval", *["ranking"] * 4, "request"]
    assert explained["history_contributions"].shape == (3, 4, 0)


def test_what_the_request_asks_for_is_a_contribution_of_its_own(checkerboard: StackConfig) -> None:
    boosted = {"remainders_boosted": tf.constant([["three0"]]), "shown_item_ids": tf.constant([["i0", "i6"]])}
    found = call(checkerboard, "explain", ["u8"], limit=tf.constant(NUM_ITEMS // 2), **boosted)
    numbers = [int(name[1:]) for name in found["item_ids"][0].astype(str)]
    of_request = found["feature_contributions"][0, :, -1]
    factor, kept = checkerboard.export.boost_factor, 1 - checkerboard.export.shown_discount
    expected = [(factor if n % 3 == 0 else 1.0) * (kept if n in (0, 6) else 1.0) for n in numbers]
    np.testing.assert_allclose(np.exp(of_request), expected, rtol=1e-5)
    np.testing.assert_allclose(total(found), np.log(found["scores"]), atol=0.05)


def test_one_candidate_is_its_own_average_and_padding_has_no_reasons(checkerboard: StackConfig) -> None:
    found = call(checkerboard, "explain", ["u8"], allow_item_ids=tf.constant([["i39"]]))
    assert found["item_ids"][0].tolist() == [b"i39", b"", b"", b""]
    np.testing.assert_allclose(found["feature_contributions"], 0.0, atol=1e-5)
    np.testing.assert_allclose(found["baseline"], np.log(found["scores"][:, 0]), atol=1e-4)


def test_more_than_memory_allows_is_refused(checkerboard: StackConfig) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="limit must be at most 100"):
        call(checkerboard, "explain", ["u8"], limit=tf.constant(101))


HISTORY = [[3, -1, 1, -1], [-1, -1, -1, -1]]
ROWS = [[2, 3, 0, 1], [4, 2, -1, -1]]
CHOSEN = [[3, 5, -1], [2, 4, -1]]


def list_order() -> ListOrder:
    features = CandidateFeatures({"same": SameItem()}, {"count": np.arange(6, dtype=np.float32)})
    ranker = ListRanker(ListRankerConfig(members=1, hidden=()), len(features.names), seed=3)
    ranker.members[0].wide.kernel.assign(tf.random.stateless_normal([2 * len(features.names), 1], [1, 2]))
    return ListOrder(features, ranker, history=1)


def answer_of(rows: tf.Tensor) -> Answer:
    scores = tf.where(rows >= 0, tf.constant([[3.0, 2.0, 1.0, 0.5]] * 2), -float("inf"))
    return Answer(
        found=Found(query={}, history=tf.constant(HISTORY), rows=rows, scores=scores),
        adjustments=tf.zeros(rows.shape),
        chosen=TopK(rows=tf.constant(CHOSEN), scores=tf.zeros([2, 3])),
        is_explored=tf.constant([[False, True, False], [False, True, False]]),
        is_unranked=tf.constant([[False, True, False], [False, False, False]]),
    )


@pytest.mark.slow
@pytest.mark.parametrize("order", [list_order(), RetrievalOrder(temperature=0.5)], ids=["list", "retrieval"])
def test_a_saved_order_explains_as_it_does_in_memory(order: Order, tmp_path: Path) -> None:
    item_ids = ItemIds([f"i{n}".encode() for n in range(6)])

    def explain(request: dict[str, tf.Tensor]) -> Any:
        rows = tf.ensure_shape(request["rows"], [2, 4])
        answer = answer_of(rows)
        log_chances = tf.gather(order.log_chances(answer.found), [[1], [1]], batch_dims=1)
        return {**explain_answer(order, answer, item_ids), "log_chances": log_chances}

    module = tf.Module()
    module.order, module.item_ids = order, item_ids  # type: ignore[attr-defined]  # a bare tf.Module keeps what is set on it
    signature = make_signature(explain, {"rows": Input(spec=tf.TensorSpec([None, None], tf.int32))})
    tf.saved_model.save(module, str(tmp_path), signatures={"explain": signature})
    saved = tf.saved_model.load(str(tmp_path)).signatures["explain"](rows=tf.constant(ROWS))
    direct = explain({"rows": tf.constant(ROWS)})
    for name, values in direct.items():
        if values.dtype == tf.string:
            np.testing.assert_array_equal(values, saved[name])
        else:
            np.testing.assert_allclose(values, saved[name], rtol=1e-5, atol=1e-6)
    contributions = saved["feature_contributions"].numpy()
    # Row 3 and row 2 of the lists are the second candidates; row 5 is explored and unranked, row 4 explored and ranked.
    sums = saved["baseline"].numpy() + np.array([contributions[0, 0].sum(), contributions[1, 0].sum()])
    np.testing.assert_allclose(sums, saved["log_chances"].numpy()[:, 0], atol=1e-4)
    np.testing.assert_array_equal(contributions[:, 2], 0.0)
    np.testing.assert_array_equal(contributions[0, 1], 0.0)
    assert np.abs(contributions[1, 1]).sum() > 0


def test_items_of_the_history_come_by_id_and_what_the_order_does_not_read_says_nothing() -> None:
    order, item_ids = list_order(), ItemIds([f"i{n}".encode() for n in range(6)])
    found = explain_answer(order, answer_of(tf.constant(ROWS)), item_ids)
    assert found["history_item_ids"].numpy().tolist() == [[b"i3", b"i1"], [b"", b""]]
    history = found["history_contributions"].numpy()
    np.testing.assert_array_equal(history[0, :, 0], 0.0)  # the order reads the last item alone
    assert history[0, 0, 1] != 0
    np.testing.assert_array_equal(history[1], 0.0)
