"""The `[retrain]` and `[gate]` tables of the configuration. Imports neither Beam, NumPy nor TensorFlow."""

from dataclasses import dataclass
from typing import Literal

from trainer.config.baselines import BaselineName, require_known
from trainer.config.training import require


@dataclass(frozen=True, kw_only=True)
class CanaryConfig:
    """`recstack promote --watch`: the band in which a canary has to stay, beside the stable version."""

    largest_errors: float = 0.01
    """Share of the canary's requests that may fail beyond the share that fails with the stable version."""
    largest_latency: float = 2.0
    """Largest mean latency of the canary as a multiple of the stable version's in the same time."""
    smallest_requests: int = 200
    """Requests to a version before it is judged; so many must be answered before a canary is promoted."""

    def __post_init__(self) -> None:
        require("retrain.canary", self, "largest_errors", 0 <= self.largest_errors <= 1, "a share from 0 to 1")
        require("retrain.canary", self, "largest_latency", self.largest_latency > 0, "more than 0")
        require("retrain.canary", self, "smallest_requests", self.smallest_requests >= 1, "at least 1 request")


@dataclass(frozen=True, kw_only=True)
class MLflowConfig:
    """MLflow, which shows each retraining as a run; needs `pip install 'recstack[mlflow]'`."""

    tracking_uri: str = ""
    """Address of the tracking server, such as `http://host:5000` or `sqlite:////shop/mlflow.db`; empty logs nothing."""
    experiment: str = "recstack"
    """Name of the experiment; made if it is not there."""


@dataclass(frozen=True, kw_only=True)
class RetrainConfig:
    """`recstack retrain`: one retraining from new data to a published model."""

    publication: Literal["newest", "canary"] = "newest"
    """`newest`: the label `stable` moves to the new version at once. `canary`: the label stays at the former version,
    until `recstack promote`; the new version has the label `canary`."""
    warm_start: bool = False
    """Whether retrieval and ranking go on from the weights of the current run instead of chance. `patience` then ends
    their training early, once validation gains nothing more."""
    lease_seconds: float = 300.0
    """Seconds without a sign of life after which another machine takes over from a retraining that died. The clocks
    of machines that share the work directory must agree to a fraction of it."""
    keep_refused: int = 3
    """Refused retrainings whose SavedModels are kept for inspection, the newest ones; records are kept of all."""
    canary: CanaryConfig = CanaryConfig()
    """When a canary is taken back."""
    mlflow: MLflowConfig = MLflowConfig()
    """Where retrainings are logged beside `retrainings/`."""

    def __post_init__(self) -> None:
        require("retrain", self, "lease_seconds", self.lease_seconds > 0, "more than 0 seconds")
        require("retrain", self, "keep_refused", self.keep_refused >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class QualityRule:
    """The new model is not worse than the live one by more than a margin, over the same newest queries.

    A model is refused where the whole confidence interval of the paired difference lies below minus the margin. On a
    small test window the interval is wide, so only a large loss is refused there.
    """

    enabled: bool = True
    """Whether the rule may refuse a model."""
    margin: float = 0.02
    """Loss that is tolerated, as a share of the live model's metric."""
    smallest_level: float = 0.5
    """Smallest metric of retrieval on the new test window, as a share of what the live model reached on its own one."""

    def __post_init__(self) -> None:
        require("gate.quality", self, "margin", 0 <= self.margin < 1, "a share from 0 to below 1")
        require("gate.quality", self, "smallest_level", 0 <= self.smallest_level <= 1, "a share from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class BaselinesRule:
    """The new model is better than every baseline of `[evaluation.baselines]`, and than popularity if none is named.

    The mean of a first model must be above that of each baseline. A later model is refused where the whole confidence
    interval of the difference lies below.
    """

    enabled: bool = True
    """Whether the rule may refuse a model."""
    names: tuple[BaselineName, ...] = ()
    """Baselines that a retraining fits and the gate compares with; empty: those of `[evaluation.baselines]`. Name the
    strongest ones that fit within seconds: a slow one costs its time every night."""
    margin: float = 0.0
    """Gain over each baseline that is required, as a share of the baseline's metric."""

    def __post_init__(self) -> None:
        for name in self.names:
            require_known("gate.baselines.names", name)
        require("gate.baselines", self, "margin", self.margin > -1, "a share above -1")


@dataclass(frozen=True, kw_only=True)
class SlicesRule:
    """No slice of the queries or of the items is worse than with the live model by more than a margin.

    The test is that of `quality`, with intervals that are wide enough for all slices together (Bonferroni).
    """

    enabled: bool = True
    """Whether the rule may refuse a model."""
    margin: float = 0.1
    """Loss that is tolerated in a slice, as a share of the live model's metric there."""
    smallest: int = 100
    """Queries that a slice needs to be judged."""

    def __post_init__(self) -> None:
        require("gate.slices", self, "margin", 0 <= self.margin < 1, "a share from 0 to below 1")
        require("gate.slices", self, "smallest", self.smallest >= 2, "at least 2 queries")


@dataclass(frozen=True, kw_only=True)
class CascadeRule:
    """With `[list_ranking]`, the lists of `recommender` are not worse than those of `retrieval` by more than a margin.

    The test is that of `quality`.
    """

    enabled: bool = True
    """Whether the rule may refuse a model."""
    margin: float = 0.02
    """Loss that is tolerated, as a share of retrieval's metric."""

    def __post_init__(self) -> None:
        require("gate.cascade", self, "margin", 0 <= self.margin < 1, "a share from 0 to below 1")


@dataclass(frozen=True, kw_only=True)
class IndexRule:
    """The exported index finds what an exact ranking by the trained model finds."""

    enabled: bool = True
    """Whether the rule may refuse a model."""
    smallest_recall: float = 0.9
    """Smallest share of the exact list that the SavedModels' lists must hold."""

    def __post_init__(self) -> None:
        require("gate.index", self, "smallest_recall", 0 <= self.smallest_recall <= 1, "a share from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class ParityRule:
    """The SavedModels compute from raw records what the trained models compute from encoded ones.

    Query vectors of `retrieval` and predictions of `ranking` are compared.
    """

    enabled: bool = True
    """Whether the rule may refuse a model."""
    tolerance: float = 0.001
    """Largest difference, as a share of the largest value."""

    def __post_init__(self) -> None:
        require("gate.parity", self, "tolerance", self.tolerance > 0, "more than 0")


@dataclass(frozen=True, kw_only=True)
class BudgetsRule:
    """The SavedModels are not too large and a server answers from them fast enough."""

    enabled: bool = True
    """Whether the rule may refuse a model."""
    largest_growth: float = 2.0
    """Largest size of a model as a multiple of the live one's."""
    largest_mib: float = 8192.0
    """Largest size of a model in MiB."""
    largest_p99: float = 250.0
    """Largest 99th percentile of the latency of one query after the other, in milliseconds."""
    seconds: float = 2.0
    """How long each model is asked through a server of its own; 0 measures no latency."""

    def __post_init__(self) -> None:
        for name in ("largest_growth", "largest_mib", "largest_p99"):
            require("gate.budgets", self, name, getattr(self, name) > 0, "more than 0")
        require("gate.budgets", self, "seconds", self.seconds >= 0, "at least 0 seconds")


@dataclass(frozen=True, kw_only=True)
class PredictionsRule:
    """The new model's lists overlap with the live model's within a band."""

    enabled: bool = True
    """Whether the rule may refuse a model."""
    smallest_overlap: float = 0.05
    """Smallest mean share of a list that the live model answers too."""
    largest_overlap: float = 1.0
    """Largest mean share of a list that the live model answers too."""
    largest_score_drift: float | None = None
    """Largest population stability index of the best score. None: it is shown but refuses nothing, because two
    trainings may scale their scores differently."""

    def __post_init__(self) -> None:
        band = 0 <= self.smallest_overlap <= self.largest_overlap <= 1
        require("gate.predictions", self, "smallest_overlap", band, "a share from 0 to largest_overlap, at most 1")


@dataclass(frozen=True, kw_only=True)
class CoverageRule:
    """The lists show enough of the catalogue, and not too many items that nobody has interacted with."""

    enabled: bool = True
    """Whether the rule may refuse a model."""
    smallest_share: float = 0.5
    """Smallest coverage of the catalogue as a share of the live model's coverage."""
    largest_cold_share: float = 0.5
    """Largest share of the places in the lists that items without a training event take."""

    def __post_init__(self) -> None:
        for name in ("smallest_share", "largest_cold_share"):
            require("gate.coverage", self, name, 0 <= getattr(self, name) <= 1, "a share from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class DataRule:
    """The new data have as many rows as before, are newer, and look alike."""

    enabled: bool = True
    """Whether the rule may refuse a model."""
    smallest_events: float = 0.8
    """Fewest events as a share of those that the live model was made from."""
    largest_events: float = 3.0
    """Most events as a share of those that the live model was made from."""
    smallest_items: float = 0.8
    """Fewest items of the catalogue as a share of the live model's."""
    largest_duplicates: float = 0.2
    """Largest share of the rows that repeat another one."""
    largest_rejected: float = 0.2
    """Largest share of the rows that were refused."""
    largest_drift: float | None = 1.0
    """Largest population stability index of a feature, against the dataset of the live model. None: no limit."""
    newer: bool = True
    """Whether the newest event of a changed dataset has to be later than the live model's."""

    def __post_init__(self) -> None:
        for name in ("smallest_events", "smallest_items", "largest_duplicates", "largest_rejected"):
            require("gate.data", self, name, 0 <= getattr(self, name) <= 1, "a share from 0 to 1")
        require("gate.data", self, "largest_events", self.largest_events >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """The rules that decide whether `recstack retrain` publishes a model."""

    metric: Literal["ndcg", "recall", "hit_rate", "precision", "mrr", "map"] = "ndcg"
    """Metric of ranked lists that `quality`, `slices` and `cascade` compare."""
    cutoff: int = 10
    """Length of the lists that are judged."""
    queries: int = 2000
    """Queries of the newest test window that are asked, drawn by `seed`; all if there are fewer."""
    confidence: float = 0.98
    """Level of the two-sided intervals. At 0.98, one good model in a hundred is refused by a rule at most."""
    quality: QualityRule = QualityRule()
    """Quality beside the live model."""
    baselines: BaselinesRule = BaselinesRule()
    """Quality beside baselines."""
    slices: SlicesRule = SlicesRule()
    """Quality in parts."""
    cascade: CascadeRule = CascadeRule()
    """The cascade beside retrieval alone."""
    index: IndexRule = IndexRule()
    """The index beside an exact ranking."""
    parity: ParityRule = ParityRule()
    """Serving beside training."""
    budgets: BudgetsRule = BudgetsRule()
    """Sizes and latencies."""
    predictions: PredictionsRule = PredictionsRule()
    """Lists and scores beside the live model's."""
    coverage: CoverageRule = CoverageRule()
    """What of the catalogue is shown."""
    data: DataRule = DataRule()
    """The data that the model was made from."""

    def __post_init__(self) -> None:
        require("gate", self, "cutoff", self.cutoff >= 1, "at least 1")
        require("gate", self, "queries", self.queries >= 2, "at least 2")
        require("gate", self, "confidence", 0 < self.confidence < 1, "a level in (0, 1)")
