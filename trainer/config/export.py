"""Options of the export. Imports no TensorFlow."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from features.disk.layout import MODEL_NAMES, ModelName, StageName
from trainer.config.reranking import MMRConfig, RerankerConfig
from trainer.config.training import require

Precision: TypeAlias = Literal["float32", "float16", "int8"]
"""How the numbers of a matrix are stored; `int8` has one float32 scale a row."""

MOST_EXPLAINED = 100
"""Items of a list that a request may ask to have explained; integration takes much memory for each."""

_STAGES: Mapping[ModelName, tuple[StageName, ...]] = {
    "retrieval": ("retrieval",),
    "retrieval_exact": ("retrieval",),
    "ranking": ("ranking",),
    "recommender": ("retrieval", "ranking"),
}


def stages_needed(models: Iterable[ModelName], *, list_ranking: bool) -> tuple[StageName, ...]:
    """The stages that these models are made from; a list ranker takes the ranking model's place in the cascade."""
    cascade: dict[ModelName, tuple[StageName, ...]] = {"recommender": ("retrieval", "list_ranking")}
    stages = {**_STAGES, **cascade} if list_ranking else _STAGES
    return tuple(dict.fromkeys(name for model in models for name in stages[model]))


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
    ranker_precision: Precision = "float32"
    """How the SavedModels hold the embeddings of the ranking model and the item similarities of the list ranker, which
    are most of its bytes; `float16` and `int8` round them, `benchmarks/small_rankers.py` shows at what cost."""
    reranker: RerankerConfig = field(default_factory=MMRConfig)
    """How the cascade re-ranks its candidates for diversity; off unless a request or the configuration says so."""
    new_item_share: float = 0.0
    """Share of the places in the cascade's lists that are kept for items without training events, at the end of each
    list; 0 keeps none. A request may ask for another share."""
    shown_discount: float = 0.2
    """Share by which an item's chance falls for each time that it was shown before, by the request's
    `shown_item_ids`."""
    boost_factor: float = 2.0
    """Factor of the chance of items with a value that a request boosts; a buried value divides by it."""
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
    publish_to: str = ""
    """URL of a folder in an object store, such as `s3://bucket/models`, that is kept a copy of `saved_models`, and that
    `recstack serve` reads; empty for none. Needs the extra `s3` or `gcs`."""
    max_batch_size: int = 64
    """Maximum batch size of a server with batching, in `saved_models/server/batching.config`."""
    batch_timeout_micros: int = 1000
    """Time that such a server waits for a batch to fill, in microseconds."""

    def __post_init__(self) -> None:
        counts = ("retrieval_k", "recommender_candidates", "recommender_limit", "keep_versions", "max_batch_size")
        for name in counts:
            self._require(name, getattr(self, name) >= 1, "at least 1")
        self._require("new_item_share", 0 <= self.new_item_share <= 1, "a share from 0 to 1")
        self._require("shown_discount", 0 <= self.shown_discount < 1, "a share in [0, 1)")
        self._require("boost_factor", 1 <= self.boost_factor < math.inf, "a number of at least 1")
        self._require("smallest_refresh", 0 <= self.smallest_refresh <= 1, "a share from 0 to 1")
        is_within = self.recommender_limit <= self.recommender_candidates
        self._require("recommender_limit", is_within, "at most recommender_candidates")
        self._require("models", bool(self.models), f"at least one of {', '.join(MODEL_NAMES)}")
        self._require("batch_timeout_micros", self.batch_timeout_micros >= 0, "0 or more")
        is_place = self.served_from.startswith("/") or "://" in self.served_from
        self._require("served_from", is_place, "an absolute path or a URL")
        is_store = not self.publish_to or re.match(r"[a-z][a-z0-9+]*:///?[^/]", self.publish_to) is not None
        self._require("publish_to", is_store, "a URL such as s3://bucket/models, or nothing")
        self._require("warmup_batch_sizes", all(n >= 1 for n in self.warmup_batch_sizes), "sizes of at least 1")

    def _require(self, name: str, ok: bool, expected: str) -> None:
        require("export", self, name, ok, expected)
