"""A tree whose leaves hold hashed items."""

import math

from scann.scann_ops.py.scann_builder import ScannBuilder

from features.errors import InputError
from trainer.config.index import ScannTreeConfig
from trainer.index.report import ScannParameters
from trainer.index.scann_hash import ScannHashIndex

MIN_TREE_ITEMS = 16
"""A 4-bit codebook of a tree's residuals cannot be trained on fewer items."""


class ScannTreeIndex(ScannHashIndex):
    """Compares the query with the hashes in the nearest leaves, and scores the best by their embeddings."""

    config: ScannTreeConfig

    def first_parameters(self, num_items: int) -> ScannParameters:
        """The configured leaves or about sqrt(items), all of them searched.

        Raises:
            InputError: Too few items for a tree.
        """
        if num_items < MIN_TREE_ITEMS:
            raise InputError(
                f"index.kind = 'scann_tree': {num_items} items are too few for a tree, expected at least "
                f"{MIN_TREE_ITEMS}; use kind 'exact' or 'auto'"
            )
        num_leaves = min(self.config.num_leaves or max(round(math.sqrt(num_items)), 1), num_items)
        num_rescored = min(2 * self.tuned_k, num_items)
        return ScannParameters(num_leaves=num_leaves, leaves_to_search=num_leaves, num_rescored=num_rescored)

    def prepare(self, builder: ScannBuilder, num_items: int) -> ScannBuilder:
        """Asks for a tree, hashing and rescoring."""
        num_leaves = self.parameters.num_leaves
        tree = builder.tree(
            num_leaves=num_leaves,
            num_leaves_to_search=num_leaves,
            training_sample_size=min(self.config.training_items, num_items),
        )
        return super().prepare(tree, num_items)
