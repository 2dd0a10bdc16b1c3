"""Hashed items whose best are rescored."""

import numpy as np
import numpy.typing as npt
from scann.scann_ops.py.scann_builder import ReorderType, ScannBuilder

from trainer.config.index import ScannHashConfig
from trainer.index.base import Index, Tuned
from trainer.index.recall import search_rows
from trainer.index.report import ScannParameters
from trainer.index.scann import ScannIndex
from trainer.index.tuning import tune


class ScannHashIndex(ScannIndex):
    """Compares the query with the hashes of all items, and scores the best by their embeddings."""

    config: ScannHashConfig

    @property
    def is_int8(self) -> bool:
        """Whether the embeddings that give the final scores are stored in one byte a component instead of four."""
        return self.config.precision == "int8"

    def first_parameters(self, num_items: int) -> ScannParameters:
        """No tree, twice as many rescored as are asked for."""
        return ScannParameters(num_leaves=0, leaves_to_search=0, num_rescored=min(2 * self.tuned_k, num_items))

    def prepare(self, builder: ScannBuilder, num_items: int) -> ScannBuilder:
        """Asks for hashing and rescoring."""
        return builder.score_ah(
            self.config.dims_per_block,
            anisotropic_quantization_threshold=self.config.anisotropic_threshold,
            training_sample_size=min(self.config.training_items, num_items),
        ).reorder(min(self.tuned_k, num_items), ReorderType.INT8 if self.is_int8 else ReorderType.FLOAT32)

    def tuned(self, queries: npt.NDArray[np.float32], exact: Index) -> Tuned:
        """See `Index.tuned`."""
        expected = search_rows(exact, queries, self.tuned_k)
        parameters, curve = tune(self, queries, expected, self.config.target_recall)
        return Tuned(self.at(parameters), curve)
