"""What the gate's rules judge by: gathered once, then looked at by every rule."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from features.disk.layout import ModelName
from recstack.retraining.samples import SampleUser
from trainer.metrics.protocol import Bool, Int, Ragged

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Lists:
    """What one SavedModel answers to the sampled queries."""

    rows: Int
    """`[queries, k] int64`: rows of the new catalogue, best first; -1 for an item that is not there, or for none."""
    scores: Floats
    """`[queries, k] float32`."""


@dataclass(frozen=True, kw_only=True)
class ComputedTwice:
    """The same numbers by a staged SavedModel and by the trained model."""

    served: Floats
    """`[records, n] float32`: by the SavedModel, of raw values."""
    trained: Floats
    """`[records, n] float32`: by the trained model, of encoded values."""


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The data behind a model."""

    counts: Mapping[str, int]
    """Counts of the dataset's manifest."""
    items: int
    """Items that the model can answer."""
    dataset: str = ""
    """Fingerprint of the dataset."""
    newest: int = 0
    """Second of the newest event since 1970-01-01 UTC; 0 if it is not known."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Measurements of the staged models, beside those of the live ones over the same queries."""

    targets: Ragged
    """The item rows that each sampled query should find."""
    groups: Int
    """`[queries] int64`: the user of each query, numbered from 0."""
    query_slices: Mapping[str, Bool]
    """`[queries] bool` by name."""
    item_slices: Mapping[str, Bool]
    """`[items] bool` by name."""
    popularity: Int
    """`[items] int64`: training events of each item."""
    new: Mapping[ModelName, Lists]
    """What the staged models answer, those that answer lists."""
    live: Mapping[ModelName, Lists]
    """What the live models answer; empty for a first model."""
    exact: Int
    """`[queries, k] int64`: the trained retrieval model's exact ranking, without the export."""
    computed_twice: Mapping[str, ComputedTwice]
    """What both the staged SavedModels and the trained models compute of the same records, by what it is."""
    evaluation: Mapping[str, Any]
    """`metrics.json` of retrieval: the model and its baselines on the whole split."""
    live_level: Mapping[str, float]
    """Metrics of retrieval that the live model reached on its own test window, by name; empty if they are not known."""
    new_bytes: Mapping[ModelName, int]
    """Sizes of the staged models."""
    live_bytes: Mapping[ModelName, int]
    """Sizes of the live models."""
    milliseconds: Mapping[ModelName, float]
    """99th percentile of each staged model's latency through a server; empty if it was not measured."""
    data: DataFacts
    """Behind the staged models."""
    live_data: DataFacts | None
    """Behind the live models; None for a first model."""
    has_list_ranker: bool = False
    """Whether a list ranker orders what `recommender` answers."""
    users: tuple[SampleUser, ...] = ()
    """Some of the queries with the lists of the model that is judged first."""
    drift: Mapping[str, float] = field(default_factory=dict)
    """Population stability index of each feature but the time, against the live models' dataset; empty without one."""

    @property
    def is_first(self) -> bool:
        """Whether there is no live model to compare with."""
        return self.live_data is None
