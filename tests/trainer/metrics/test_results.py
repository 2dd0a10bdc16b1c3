import json

import numpy as np
import pytest

from features.errors import ConfigError, InputError
from tests.ragged import ragged as ragged_rows
from trainer.config.evaluation import EvaluationConfig
from trainer.metrics.protocol import EvaluationSet, Int
from trainer.metrics.results import Evaluation, compare, evaluate_rankings
from trainer.metrics.slices import Slices

NUM_QUERIES, NUM_ITEMS = 40, 10
CONFIG = EvaluationConfig(cutoffs=(1, 3), resamples=200)
POPULARITY = np.arange(NUM_ITEMS)


def make_queries(num_queries: int = NUM_QUERIES) -> EvaluationSet:
    history = ragged_rows([[0]] * num_queries)
    return EvaluationSet(
        user_rows=np.arange(num_queries),
        history=history,
        history_timestamps=np.zeros(num_queries, np.int64),
        seen=history,
        targets=ragged_rows([[9, -1]] * num_queries),
        num_items=NUM_ITEMS,
    )


def judge(model: str, ranked: Int, slices: Slices | None = None) -> Evaluation:
    return evaluate_rankings(model, ranked, make_queries(), popularity=POPULARITY, config=CONFIG, slices=slices)


# Half of the queries find item 9 first; the other lists end with it at rank 3.
GOOD = np.array([[9, 8, 7], [1, 2, 9]] * (NUM_QUERIES // 2))
BAD = np.array([[1, 2, 3]] * NUM_QUERIES)


def test_means_and_counts() -> None:
    evaluation = judge("good", GOOD)
    assert (evaluation.num_queries, evaluation.num_targets, evaluation.num_unreachable_targets) == (40, 80, 40)
    assert evaluation.metrics["recall@1"].value == 0.25  # half of the queries find one of two targets
    assert evaluation.metrics["recall@3"].value == 0.5
    assert evaluation.metrics["mrr@3"].value == pytest.approx((1 + 1 / 3) / 2)
    assert evaluation.metrics["recall@1"].low < 0.25 < evaluation.metrics["recall@1"].high
    assert evaluation.catalogue["coverage@1"] == 2 / NUM_ITEMS


def test_slices_judge_only_their_queries_and_targets() -> None:
    even, item_9 = np.arange(NUM_QUERIES) % 2 == 0, np.arange(NUM_ITEMS) == 9
    slices = Slices(queries={"even": even, "none": even & ~even}, items={"item 9": item_9})
    parts = judge("good", GOOD, slices).slices
    assert (parts["even"].num_queries, parts["even"].num_targets) == (20, 40)
    assert parts["even"].metrics["recall@1"].value == 0.5
    assert (parts["item 9"].num_queries, parts["item 9"].num_targets) == (40, 40)
    assert parts["item 9"].metrics["recall@1"].value == 0.5
    assert (parts["none"].num_queries, parts["none"].metrics) == (0, {})


def test_evaluation_survives_json() -> None:
    evaluation = judge("good", GOOD)
    loaded = json.loads(json.dumps(evaluation.to_dict()))
    assert loaded == evaluation.to_dict()
    assert loaded["metrics"]["recall@3"]["value"] == 0.5
    assert loaded["slices"]["history: 1-4"]["num_queries"] == NUM_QUERIES
    assert "per_query" not in loaded


def test_compare_finds_the_difference_and_only_where_there_is_one() -> None:
    good, bad = judge("good", GOOD), judge("bad", BAD)
    result = compare(good, bad, ["recall@3", "recall@1"])
    assert result["recall@3"].difference.value == 0.5
    assert result["recall@1"].p_value < 0.001
    assert compare(good, good, ["recall@1"])["recall@1"].p_value == 1.0


def test_empty_evaluation_set_is_the_users_error() -> None:
    with pytest.raises(InputError, match="check the split"):
        evaluate_rankings("m", BAD[:0], make_queries(0), popularity=POPULARITY)


def test_lists_of_other_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="3 lists for 40 queries"):
        judge("bad", BAD[:3])


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"cutoffs": ()}, "cutoffs"),
        ({"cutoffs": (0,)}, "cutoffs"),
        ({"resamples": 0}, "resamples"),
        ({"confidence": 1.0}, "confidence"),
    ],
)
def test_impossible_config_is_refused(parameters: dict[str, float], field: str) -> None:
    with pytest.raises(ConfigError, match=f"evaluation.{field}"):
        EvaluationConfig(**parameters)
