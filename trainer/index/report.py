"""What was built and what it measured, as typed data for a manifest. Imports no TensorFlow."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScannParameters:
    """The point on the recall/latency curve at which a ScaNN index answers."""

    num_leaves: int
    """Leaves of the tree; 0: no tree."""

    leaves_to_search: int
    """Leaves searched for one query at `tuned_k`; 0: no tree."""

    num_rescored: int
    """Candidates whose exact score is computed at `tuned_k`; 0: every item is scored."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """One measured point of the recall/latency curve."""

    leaves_to_search: int
    """Leaves searched for one query; 0: no tree."""

    num_rescored: int
    """Candidates whose exact score is computed."""

    recall: float
    """Share of the exact top `tuned_k` returned, over the tuning queries."""

    latency_ms: float
    """Time of one single-query search inside a graph, in milliseconds: the mean of a run over the tuning queries, the
    fastest of three runs."""


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What `build_index` built, chose and measured."""

    kind: str
    """Name of the kind in the configuration."""

    is_exact: bool
    """Whether the answers equal a float32 scan, up to rounding."""

    precision: str
    """Data type of the stored embeddings."""

    num_items: int
    dim: int
    """Components of an embedding."""

    tuned_k: int
    """The k of `recall` and of the curve."""

    target_recall: float
    """Recall@tuned_k that was asked for; 1 of a kind that is not tuned."""

    recall: float
    """Recall@tuned_k at the chosen point, on held-out queries that the tuning did not see."""

    num_queries: int
    """Queries behind `recall`; 0: the index is exact by construction and nothing was measured."""

    parameters: ScannParameters | None
    """None for the exact kind."""

    curve: tuple[OperatingPoint, ...]
    """Every point measured while tuning, by latency."""

    build_seconds: float
    tuning_seconds: float
