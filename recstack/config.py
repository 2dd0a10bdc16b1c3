"""The configuration tree: one TOML file, one dataclass a table, each node kept beside its owner.

    >>> stack = load_config(None)  # configs/movielens.toml
    >>> stack.retrieval.batch_size
    512

Imports no TensorFlow and no Beam.
"""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import tomli_w
import tyro

from beam_pipelines.config import PipelineConfig
from features.disk.layout import STAGE_NAMES, StageName, Workdir, is_run_id
from features.disk.manifest import Manifest, read_manifest, require_schema
from features.errors import ConfigError, InputError
from features.schema import Schema
from features.serialization import structure, unstructure
from recstack.remote.config import RemoteConfig
from recstack.retraining.config import GateConfig, RetrainConfig
from trainer.config.cascade import ListRankerConfig
from trainer.config.evaluation import EvaluationConfig
from trainer.config.export import ExportConfig
from trainer.config.index import AutoConfig, IndexConfig
from trainer.config.negatives import refuse_kept_negatives
from trainer.config.ranking import RankingConfig, require_tasks
from trainer.config.retrieval import RetrievalConfig, require_features, streaming_obstacle
from trainer.config.training import StrategyName, TrainingConfig, require_asynchronous, require_compilable


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """Everything a recommender is made from."""

    features: Annotated[Schema, tyro.conf.Suppress]
    """What describes a query and a candidate; a contract, so it has no flags."""
    pipeline: PipelineConfig = PipelineConfig()
    """Raw tables to a dataset."""
    retrieval: RetrievalConfig = RetrievalConfig()
    """The two-tower model."""
    ranking: RankingConfig = RankingConfig()
    """The ranking model."""
    list_ranking: ListRankerConfig = ListRankerConfig()
    """The list ranker, the second stage over retrieval's candidates."""
    index: IndexConfig = AutoConfig()
    """The index over the items."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Metrics and baselines."""
    export: ExportConfig = ExportConfig()
    """The SavedModels."""
    training: TrainingConfig = TrainingConfig()
    """How the stages train."""
    retrain: RetrainConfig = RetrainConfig()
    """`recstack retrain`."""
    gate: GateConfig = GateConfig()
    """Rules that decide whether `recstack retrain` publishes a model."""
    remote: RemoteConfig = RemoteConfig()
    """A copy of the dataset and of runs in an object store."""
    workdir: Path = Path("recstack-work")
    """Folder for the dataset, the runs and the SavedModels; made if it is not there."""
    strategy: StrategyName = "default"
    """Strategy of `tf.distribute` that trains; docs/training.md says what each needs."""
    start_from: str = ""
    """Id of a run of this folder whose weights retrieval and ranking start from, or the path of another recommender's
    run; empty starts from chance."""
    seed: int = 0
    """Seed of everything random."""
    keep_runs: int = 2
    """Training runs kept beside the current one, those used last; older ones are removed when a training ends."""

    def __post_init__(self) -> None:
        """Checks what no node checks."""
        if not 0 <= self.seed < 2**32:
            raise ConfigError("seed", self.seed, "a whole number from 0 to 4294967295")
        if self.start_from and not is_run_id(Path(self.start_from).name):
            expected = "the id of a run, as `recstack runs` shows it, or the path of another recommender's run"
            raise ConfigError("start_from", self.start_from, expected)
        if self.keep_runs < 1:
            raise ConfigError("keep_runs", self.keep_runs, "at least 1")
        if any(character in str(self.workdir) for character in "[]*?"):
            expected = "a path without [ ] * ?, since TensorFlow reads a checkpoint's path as a pattern; choose another"
            raise ConfigError("workdir", str(self.workdir), expected)
        require_features(self.retrieval, self.features)
        require_tasks(self.ranking, self.features)
        if self.training.input == "stream" and (obstacle := streaming_obstacle(self.retrieval)):
            raise ConfigError("training.input", "stream", f'"memory" or "auto", since {obstacle}')
        if self.retrieval.repeat and self.evaluation.exclude_seen:
            expected = "0, or `exclude_seen = false` in [evaluation]: it scores items of the history only"
            raise ConfigError("retrieval.repeat", self.retrieval.repeat, expected)

    @property
    def stage_names(self) -> tuple[StageName, ...]:
        """The stages that the configuration describes, in the order in which they are trained."""
        return tuple(name for name in STAGE_NAMES if name != "list_ranking" or self.list_ranking.enabled)

    @property
    def layout(self) -> Workdir:
        """The paths below `workdir`."""
        return Workdir(self.workdir)

    def require_dataset(self) -> Manifest:
        """The dataset's manifest; asked for before TensorFlow is imported, which takes seconds.

        Raises:
            InputError: there is no complete dataset in the work directory, or it was made with other features.
        """
        path = self.layout.dataset.manifest
        manifest = read_manifest(path, "dataset")
        require_schema(manifest, self.features.fingerprint(), path)
        return manifest

    def to_toml(self) -> str:
        """The configuration as TOML: what `--print-config` prints and each run keeps."""
        return tomli_w.dumps(unstructure(self))


def require_strategy(stack: StackConfig, name: StageName, *, profile: bool = False) -> None:
    """Refuses what a stage cannot be trained with under the strategy.

    Args:
        stack: The configuration.
        name: The stage.
        profile: Whether steps are to be traced.

    Raises:
        ConfigError: The strategy is `parameter_server`, and the stage or one of its options needs workers that make
            each step together; or XLA is to compile steps that it does not compile.
        InputError: A profile is asked for under `parameter_server`.
    """
    require_compilable(stack.training, stack.strategy)
    # The list ranker trains the retrieval of its folds.
    if name != "ranking" and (stack.training.xla or stack.strategy == "tpu"):
        _require_compilable_retrieval(stack)
    if stack.strategy == "parameter_server":
        _require_asynchronous(stack, name, profile=profile)


def _require_compilable_retrieval(stack: StackConfig) -> None:
    compiler = 'with strategy = "tpu"' if stack.strategy == "tpu" else "with training.xla"
    because = f"{compiler}, since XLA does not sort what has no fixed size"
    refuse_kept_negatives(stack.retrieval.negatives, because)
    if stack.retrieval.repeat:
        expected = f"0 {because}"
        raise ConfigError("retrieval.repeat", stack.retrieval.repeat, expected)


def _require_asynchronous(stack: StackConfig, name: StageName, *, profile: bool) -> None:
    if profile:
        raise InputError(
            '--profile: not with strategy = "parameter_server", whose steps are made elsewhere; leave it out'
        )
    if name == "list_ranking":
        expected = '"default": the list ranker trains several models in one process; train the other stages by name'
        raise ConfigError("strategy", "parameter_server", expected)
    if name == "retrieval":
        because = 'with strategy = "parameter_server", since workers do not make their steps together'
        refuse_kept_negatives(stack.retrieval.negatives, because)
    require_asynchronous(name, stack.ranking if name == "ranking" else stack.retrieval, stack.training)


def load_config(path: Path | None) -> StackConfig:
    """Reads a configuration; without a path, the embedded one of the MovieLens demo.

    Raises:
        ConfigError: a field is unknown, missing or has a wrong value.
        InputError: the file is not there or is not TOML.
    """
    return parse_config(read_config(path), str(path or "the embedded configuration"))


def parse_config(text: str, origin: str = "configuration") -> StackConfig:
    """The configuration that a TOML text describes; `origin` names the text in errors.

    Raises:
        ConfigError: a field is unknown, missing or has a wrong value.
        InputError: the text is not TOML.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{origin}: not TOML: {error}") from error
    if "features" not in data:
        raise ConfigError("features", None, "the tables [[features.query]] and [[features.candidate]]")
    return structure(data, StackConfig)


def read_config(path: Path | None) -> str:
    """The text of a configuration file; without a path, of the embedded one.

    Raises:
        InputError: the file cannot be read.
    """
    if path is None:
        return files("recstack").joinpath("movielens.toml").read_text("utf-8")
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"configuration {path}: cannot be read ({error}); give a TOML file by --config") from error
