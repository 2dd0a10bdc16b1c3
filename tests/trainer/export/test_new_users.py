"""A user whom the model has never seen is served what the evaluation of such a user judges."""

import cold_users
import numpy as np
import pytest
import tensorflow as tf

from recstack.config import StackConfig
from tests.trainer.export.loading import load
from trainer.config.evaluation import EvaluationConfig
from trainer.evaluation.retrieval import load_data
from trainer.restore import Trained
from trainer.retrieval.full_ranking import embed_queries, query_blocks
from trainer.retrieval.two_towers import TwoTowers


@pytest.mark.slow
@pytest.mark.parametrize("length", [0, 1])
def test_a_stranger_is_served_the_query_that_is_judged(
    checkerboard: StackConfig, trained: Trained[TwoTowers], length: int
) -> None:
    judged = load_data(trained, checkerboard.layout.dataset, EvaluationConfig()).judged
    split = cold_users.cut(cold_users.without_users(judged, trained.encoder), length)
    blocks = query_blocks(split.events, checkerboard.features, split.asked_at)
    expected, _ = embed_queries(trained.model, blocks, len(trained.candidates))
    item_ids = trained.candidates.item_ids.numpy()
    history = [
        [item_ids[row] for row in rows] or [b""]
        for rows in np.split(split.queries.history.values, split.queries.history.indptr[1:-1])
    ]
    assert {len([each for each in rows if each]) for rows in history} == {length}
    served = load(checkerboard, "retrieval_exact").signatures["embed_query"](
        user_id=tf.fill([len(expected)], "nobody that training has seen"),
        history=tf.constant(history),
        timestamp=tf.constant(split.events.timestamp[split.asked_at]),
    )
    np.testing.assert_allclose(served["embedding"], expected, rtol=1e-5, atol=1e-6)
