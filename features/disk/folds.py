"""Paths of a cross-validation by `recstack evaluate --folds`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FoldsLayout:
    """All folds of a recommender; each has a folder with a dataset and runs of its own."""

    root: Path

    @property
    def metrics(self) -> Path:
        """JSON: metrics of all folds together."""
        return self.root / "metrics.json"

    def fold(self, number: int) -> Path:
        """The folder of one fold."""
        return self.root / str(number)

    def judged(self, number: int) -> Path:
        """NumPy archive: what each query of a fold said of each model, and what that was made from."""
        return self.fold(number) / "judged.npz"
