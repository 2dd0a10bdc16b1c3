"""An ensemble with side features and times in its histories is served as it was trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.spec.history import HistoryTimesFeature
from recstack.stages import export, prepare, stage_context, train
from tests.checkerboard import write_checkerboard
from tests.trainer.export.loading import load
from trainer.config.encoders import GRUConfig, HSTUConfig, TransformerConfig
from trainer.restore import restore
from trainer.retrieval.stage import RetrievalStage

HISTORY = ["i0", "i4", "i2"]


@pytest.mark.slow
def test_ensemble_is_served_as_it_was_trained(tmp_path: Path) -> None:
    stack = write_checkerboard(tmp_path)
    encoders = TransformerConfig(side_features=True), (GRUConfig(side_features=True), HSTUConfig())
    retrieval = replace(stack.retrieval, examples="sequence", encoder=encoders[0], ensemble=encoders[1])
    features = replace(stack.features, query=(*stack.features.query, HistoryTimesFeature()))
    stack = replace(stack, features=features, retrieval=retrieval)
    prepare(stack)
    for stage in ("retrieval", "ranking"):
        train(stack, stage)
    export(stack)
    trained = restore(stage_context(stack), RetrievalStage(config=stack.retrieval))
    sent = {
        "user_id": tf.constant(["u0"]),
        "history": tf.constant([HISTORY]),
        "history_timestamps": tf.constant([[1000, 1060, 90_000]], tf.int64),
        "timestamp": tf.constant([0], tf.int64),
    }
    query = trained.model.query_tower(trained.encoder.encode_query(sent)).numpy()
    assert query.shape == (1, 3 * (stack.retrieval.dimension + stack.retrieval.item_bias))
    scores = query @ trained.model.embed_candidates(trained.candidates).numpy().T
    best = np.argsort(-scores[0], kind="stable")[:5]
    answer = load(stack, "retrieval_exact").signatures["serving_default"](**sent)
    np.testing.assert_allclose(answer["scores"][0], scores[0][best], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(answer["item_ids"][0], trained.candidates.item_ids.numpy()[best])
