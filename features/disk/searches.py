"""Paths of what `recstack tune` writes; each is spelt here only."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TuningLayout:
    """One search of settings, written by `recstack tune`."""

    root: Path

    @property
    def id(self) -> str:
        """Its name among the searches."""
        return self.root.name

    @property
    def study(self) -> Path:
        """Optuna's journal of all trials."""
        return self.root / "study.journal"

    @property
    def base(self) -> Path:
        """The resolved configuration that the search starts from."""
        return self.root / "base.toml"

    @property
    def config(self) -> Path:
        """The best configuration so far: the given file with the changed fields; `recstack train` takes it."""
        return self.root / "config.toml"

    @property
    def report(self) -> Path:
        """HTML page: quality over time, importance of the settings, all trials."""
        return self.root / "report.html"

    @property
    def kept(self) -> Path:
        """Trained models that the trials of a seed share, a folder a seed: the retrieval of the list ranker's folds."""
        return self.root / "kept"

    @property
    def workers(self) -> Path:
        """Directory that each worker locks while it runs, with their logs."""
        return self.root / "workers"

    def log(self, number: int) -> Path:
        """What a worker wrote to its standard error stream."""
        return self.workers / f"{number}.log"


@dataclass(frozen=True)
class TuningsLayout:
    """All searches of one recommender, a directory each."""

    root: Path

    def tuning(self, tuning_id: str) -> TuningLayout:
        """One search."""
        return TuningLayout(self.root / tuning_id)
