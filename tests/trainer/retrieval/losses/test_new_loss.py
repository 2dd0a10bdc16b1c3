"""A retrieval loss from outside the package: one dataclass of options, one class, and it trains."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from tests.trainer.small_training import train_and_restore
from trainer.config.losses import LOSSES, LossConfig
from trainer.retrieval.losses.pairwise import PairwiseLoss


@dataclass(frozen=True, kw_only=True)
class HingeConfig(LossConfig):
    margin: float = 1.0


class HingeLoss(PairwiseLoss):
    def compare(
        self, positive_logits: tf.Tensor, negative_logits: tf.Tensor, is_negative: tf.Tensor, positive_query: tf.Tensor
    ) -> tf.Tensor:
        margins = self.config.margin - positive_logits[:, None] + tf.gather(negative_logits, positive_query)
        return tf.reduce_sum(tf.gather(is_negative, positive_query) * tf.nn.relu(margins), axis=1)


@pytest.mark.slow
def test_it_trains(small_dataset: DatasetLayout, tmp_path: Path) -> None:
    """Users see items of their own parity alone, which the trained model scores higher than the others."""
    with LOSSES.registered("hinge", HingeConfig, HingeLoss):
        trained = train_and_restore(small_dataset, tmp_path, {"loss": {"kind": "hinge", "margin": 2.0}, "epochs": 10})
    users = tf.constant([f"u{n}" for n in range(16)])
    raw = {"user_id": users, "history": tf.fill([16, 1], ""), "timestamp": tf.zeros(16, tf.int64)}
    queries = trained.model.query_tower(trained.encoder.encode_query(raw))
    scores = tf.matmul(queries, trained.model.embed_candidates(trained.candidates), transpose_b=True).numpy()
    parity = np.array([int(item_id[1:]) % 2 for item_id in trained.candidates.item_ids.numpy()])
    same = parity[None, :] == np.arange(16)[:, None] % 2
    assert scores[same].mean() > scores[~same].mean() + 0.1
