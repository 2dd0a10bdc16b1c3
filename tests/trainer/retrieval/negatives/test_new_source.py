"""A source of negatives from outside the package: one dataclass of options, one class, and it trains."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from tests.trainer.small_training import train_and_restore
from trainer.config.negatives import NEGATIVES, SampledConfig
from trainer.retrieval.negatives.base import NegativeSource, SampledNegatives, make_source


@dataclass(frozen=True, kw_only=True)
class EveryNthConfig(SampledConfig):
    stride: int = 3


class EveryNthItem(NegativeSource):
    def __init__(self, config: EveryNthConfig, train_frequency: npt.NDArray[np.int64], seed: int) -> None:
        self.stride, self.num_items = config.stride, len(train_frequency)

    def draw(self, positive_rows: tf.Tensor, step: tf.Tensor) -> SampledNegatives:
        rows = tf.range(tf.cast(step % self.stride, tf.int32), self.num_items, self.stride)
        return SampledNegatives(rows, tf.fill(tf.shape(rows), float(np.log(self.stride))))


@pytest.mark.slow
def test_it_trains_with_hard_negatives_beside_it(small_dataset: DatasetLayout, tmp_path: Path) -> None:
    with NEGATIVES.registered("every_nth", EveryNthConfig, EveryNthItem):
        drawn = make_source(EveryNthConfig(stride=5), np.ones(12, np.int64), 0).draw(tf.constant([0]), tf.constant(7))
        assert drawn.rows.numpy().tolist() == [2, 7]
        table = {"negatives": {"kind": "every_nth", "stride": 2, "hard_negatives": 1, "index_steps": 3}}
        trained = train_and_restore(small_dataset, tmp_path, table)
    items = trained.model.embed_candidates(trained.candidates).numpy()
    assert np.isfinite(items).all()
    assert (np.linalg.norm(items, axis=1) > 0).all()
