"""A ranking model whose embeddings are stored in fewer bytes serves what its rounded embeddings say."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from recstack.config import StackConfig
from recstack.stages import export, stage_context
from tests.trainer.export.loading import load
from trainer.config.export import Precision
from trainer.export.saving import directory_bytes
from trainer.ranking.model import RankingModel
from trainer.restore import Trained, restore
from trainer.stage import stages_of

pytestmark = pytest.mark.slow  # exports models of its own
USERS, ITEMS = ["u0", "u1", "nobody"], ["i0", "i1", "i7", "unknown"]


def predictions(trained: Trained[RankingModel], raw: dict[str, tf.Tensor]) -> np.ndarray:
    """What the model predicts of the catalogue's first rows, for each user."""
    rows = tf.range(3)
    candidate = trained.candidates.gather(tf.tile(rows, [len(USERS)]))
    scores = trained.model(trained.encoder.encode_query(raw), candidate, tf.repeat(tf.range(len(USERS)), 3))
    (values,) = trained.model.predictions(scores).values()
    return values.numpy().reshape(len(USERS), 3)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_it_serves_what_the_rounded_model_predicts(
    checkerboard: StackConfig, tmp_path: Path, precision: Precision
) -> None:
    settings = replace(checkerboard.export, models=("ranking",), ranker_precision=precision)
    stack = replace(checkerboard, workdir=tmp_path, export=settings)
    for part in (checkerboard.layout.dataset.root, checkerboard.layout.runs.root):
        shutil.copytree(part, tmp_path / part.name)
    (exported,) = export(stack)
    trained = restore(stage_context(stack), stages_of(stack)["ranking"])
    raw = {
        "user_id": tf.constant(USERS),
        "history": tf.constant([["i2", "i4"], ["i3", "i3"], ["i5", "x"]]),
        "timestamp": tf.constant([1_700_000_000] * 3, tf.int64),
    }
    full = predictions(trained, raw)
    trained.model.store_in(precision)
    rounded = predictions(trained, raw)
    assert (rounded != full).any()
    np.testing.assert_allclose(rounded, full, atol=0.05)
    ids = tf.tile(trained.candidates.item_ids[None, :3], [3, 1])
    (served,) = load(stack, "ranking").signatures["serving_default"](**raw, item_ids=ids).values()
    np.testing.assert_allclose(served, rounded, rtol=1e-4, atol=1e-6)
    before = checkerboard.layout.model("ranking")
    assert before.current is not None
    weights = [version / "variables" for version in (exported.directory, before.version(before.current))]
    assert directory_bytes(weights[0]) < directory_bytes(weights[1])
