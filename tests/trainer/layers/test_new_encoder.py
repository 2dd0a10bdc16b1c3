"""A history encoder from outside the package: one dataclass of options, one class, and it trains and is restored."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from tests.trainer.small_training import train_and_restore
from trainer.config.encoders import ENCODERS, EncoderConfig
from trainer.layers.encoders.base import HistoryEncoder


@dataclass(frozen=True, kw_only=True)
class LastItemConfig(EncoderConfig):
    scale: float = 1.0


class LastItemEncoder(HistoryEncoder):
    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        return self.config.scale * vectors


@pytest.mark.slow
def test_it_trains_and_is_restored(small_dataset: DatasetLayout, tmp_path: Path) -> None:
    table = {
        "examples": "sequence",
        "encoder": {"kind": "last_item", "scale": 2.0},
        "ensemble": [{"kind": "last_item"}],
    }
    with ENCODERS.registered("last_item", LastItemConfig, LastItemEncoder):
        trained = train_and_restore(small_dataset, tmp_path, table)
    for pair, scale in zip(trained.model.pairs, (2.0, 1.0), strict=True):
        vector = pair.query.history_encoder(tf.constant([[4, 7, 0, 0]]), pair.query.history_embedding)
        np.testing.assert_allclose(vector, scale * pair.items(tf.constant([7])), rtol=1e-6)
