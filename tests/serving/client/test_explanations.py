"""Reading explanations out of a response."""

import numpy as np
import pytest

from features.errors import InputError
from features.protocol.tensor_proto import dtype_number, encode
from features.protocol.wire import DataType, PredictResponse
from serving.client.explanations import read_explanations
from serving.client.messages import recommend_request
from serving.client.signatures import SignatureSpec


def response(**outputs: np.ndarray) -> PredictResponse:
    message = PredictResponse()
    for name, values in outputs.items():
        encode(values, message.outputs[name], as_content=dtype_number(values) != DataType.STRING)
    return message


def texts(*rows: list[str]) -> np.ndarray:
    return np.array([[value.encode() for value in row] for row in rows], object)


ANSWER = {
    "item_ids": texts(["a", "b", ""], ["c", "", ""]),
    "scores": np.array([[0.5, 0.25, -np.inf], [0.75, -np.inf, -np.inf]], np.float32),
    "is_explored": np.array([[False, True, False], [False, False, False]]),
    "baseline": np.array([-1.0, -2.0], np.float32),
    "feature_names": texts(*[["score", "same_sum", "same_last"]] * 2),
    "feature_groups": texts(*[["retrieval", "same", "same"]] * 2),
    "feature_contributions": np.arange(18, dtype=np.float32).reshape(2, 3, 3),
    "history_item_ids": texts(["x", "y", "x"], ["", "", "z"]),
    "history_contributions": np.arange(18, dtype=np.float32).reshape(2, 3, 3),
}


def test_contributions_come_by_name_by_group_and_by_item_of_the_history() -> None:
    (first, second), (third,) = read_explanations(response(**ANSWER), k=5)
    assert [each.recommendation.item_id for each in (first, second, third)] == ["a", "b", "c"]
    assert [each.recommendation.is_explored for each in (first, second, third)] == [False, True, False]
    assert (first.baseline, third.baseline) == (-1.0, -2.0)
    assert second.features == {"score": 3.0, "same_sum": 4.0, "same_last": 5.0}
    assert second.by_group == {"retrieval": 3.0, "same": 4.0 + 5.0}
    assert second.history == {"x": 3.0 + 5.0, "y": 4.0}  # bought twice
    assert third.history == {"z": 11.0}


def test_no_more_than_asked_for_and_orders_that_tell_nothing_of_the_history() -> None:
    silent = ANSWER | {"history_item_ids": texts([], []), "history_contributions": np.zeros((2, 3, 0), np.float32)}
    (first,), (third,) = read_explanations(response(**silent), k=1)
    assert first.history == third.history == {}


def test_a_model_that_explains_nothing_is_named_with_what_it_has() -> None:
    signatures = {"serving_default": SignatureSpec({}, {}), "retrieve": SignatureSpec({}, {})}
    with pytest.raises(
        InputError, match="'retrieval' has no signature 'explain'; its signatures are retrieve, serving"
    ):
        recommend_request("retrieval", signatures, {}, 3, {}, signature="explain")
