"""An index from outside the package: one dataclass of options, one class, and it is built and measured."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.serialization import structure
from trainer.config.index import INDEXES, IndexConfig
from trainer.index.build import build_index
from trainer.index.exact import ExactIndex


@dataclass(frozen=True, kw_only=True)
class RoundedConfig(IndexConfig):
    decimals: int = 1


class RoundedIndex(ExactIndex):
    def __init__(self, embeddings: npt.NDArray[np.float32], config: RoundedConfig) -> None:
        super().__init__(np.round(embeddings, config.decimals))
        self.is_exact = False


def test_it_is_built_and_measured(embeddings: npt.NDArray[np.float32], queries: npt.NDArray[np.float32]) -> None:
    with INDEXES.registered("rounded", RoundedConfig, RoundedIndex):
        config = structure({"kind": "rounded", "decimals": 0, "tuned_k": 20}, IndexConfig, "index")
        built = build_index(embeddings, config, held_out_queries=queries, seed=0)
    assert (built.report.kind, built.report.num_queries, built.report.is_exact) == ("rounded", len(queries) // 2, False)
    # Rounding to whole numbers loses some of the best, and far from all.
    assert 0.5 < built.report.recall < 1.0
    expected = np.argsort(-(queries @ np.round(embeddings).T), axis=1)[:, 0]
    found = built.index.search(tf.constant(queries), tf.constant(1)).rows.numpy()[:, 0]
    np.testing.assert_array_equal(found, expected)
