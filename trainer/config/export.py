"""Options of the export. Imports no TensorFlow."""

from dataclasses import dataclass, field

from features.disk.layout import MODEL_NAMES, ModelName
from features.errors import ConfigError
from trainer.config.reranking import MMRConfig, RerankerConfig


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """The SavedModels that `recstack export` publishes."""

    models: tuple[ModelName, ...] = MODEL_NAMES
    """Models to export: the two retrieval models, the ranking model and the cascade `recommender`."""
    retrieval_k: int = 100
    """Number of items that `retrieval`'s `serving_default` returns, and the default of `k` in `retrieve`."""
    recommender_candidates: int = 200
    """Number of items that the cascade retrieves and ranks."""
    recommender_limit: int = 10
    """Number of items that the cascade returns by default."""
    reranker: RerankerConfig = field(default_factory=MMRConfig)
    """How the cascade re-ranks its candidates for diversity; off unless a request or the configuration says so."""
    keep_versions: int = 3
    """Number of published versions to keep per model; older ones are removed after publication."""
    smallest_refresh: float = 0.5
    """Share of the newest version's items that a refreshed catalogue must have; one with fewer is refused as broken."""
    lookup_history: bool = True
    """Whether the model holds each known user's last items and uses them when a request sends no history."""
    warmup_batch_sizes: tuple[int, ...] = (1, 32)
    """Batch sizes of the warm-up requests of each signature."""
    served_from: str = "/models"
    """Folder in which servers in containers see the models; the files in `saved_models/server` refer to it."""
    max_batch_size: int = 64
    """Maximum batch size of a server with batching, in `saved_models/server/batching.config`."""
    batch_timeout_micros: int = 1000
    """Time that such a server waits for a batch to fill, in microseconds."""

    def __post_init__(self) -> None:
        for name in (
            "retrieval_k",
            "recommender_candidates",
            "recommender_limit",
            "keep_versions",
            "max_batch_size",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"export.{name}", getattr(self, name), "at least 1")
        if not 0 <= self.smallest_refresh <= 1:
            raise ConfigError("export.smallest_refresh", self.smallest_refresh, "a share from 0 to 1")
        if self.recommender_limit > self.recommender_candidates:
            raise ConfigError("export.recommender_limit", self.recommender_limit, "at most recommender_candidates")
        if not self.models:
            raise ConfigError("export.models", self.models, f"at least one of {', '.join(MODEL_NAMES)}")
        if self.batch_timeout_micros < 0:
            raise ConfigError("export.batch_timeout_micros", self.batch_timeout_micros, "0 or more")
        if not self.served_from.startswith("/") and "://" not in self.served_from:
            raise ConfigError("export.served_from", self.served_from, "an absolute path or a URL")
        if any(size < 1 for size in self.warmup_batch_sizes):
            raise ConfigError("export.warmup_batch_sizes", self.warmup_batch_sizes, "sizes of at least 1")
