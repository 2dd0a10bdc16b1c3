"""What the clients read from a response."""

from typing import Any

import numpy as np
import pytest

from features.protocol.tensor_proto import encode
from features.protocol.wire import PredictResponse
from serving.client import Recommendation
from serving.client.messages import read_recommendations


def response(**outputs: list[Any]) -> Any:
    made = PredictResponse()
    for name, values in outputs.items():
        encode(np.array(values, object if name == "item_ids" else None), made.outputs[name])
    return made


IDS, SCORES = [[b"a", b"b", b""], [b"c", b"", b""]], np.float32([[0.5, 0.25, -np.inf], [1.0, -np.inf, -np.inf]])


def test_items_that_were_explored_are_told_apart() -> None:
    found = read_recommendations(
        response(item_ids=IDS, scores=SCORES, is_explored=[[False, True, False], [True, False, False]]), k=3
    )
    assert found == [[Recommendation("a", 0.5), Recommendation("b", 0.25, True)], [Recommendation("c", 1.0, True)]]


@pytest.mark.parametrize("k", [1, 2])
def test_a_model_that_explores_nothing_says_nothing_of_it(k: int) -> None:
    found = read_recommendations(response(item_ids=IDS, scores=SCORES), k=k)
    assert found == [[Recommendation("a", 0.5), Recommendation("b", 0.25)][:k], [Recommendation("c", 1.0)]]
