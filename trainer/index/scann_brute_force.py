"""ScaNN's scan over all items."""

from scann.scann_ops.py.scann_builder import ReorderType, ScannBuilder

from trainer.index.report import ScannParameters
from trainer.index.scann import ScannIndex


class ScannBruteForceIndex(ScannIndex):
    """Scores every item; there is nothing to tune."""

    is_exact = True

    def first_parameters(self, num_items: int) -> ScannParameters:
        """No tree, nothing rescored."""
        return ScannParameters(num_leaves=0, leaves_to_search=0, num_rescored=0)

    def prepare(self, builder: ScannBuilder, num_items: int) -> ScannBuilder:
        """Asks for a scan."""
        return builder.score_brute_force(ReorderType.FLOAT32)
