"""Paths of all files and directories that recstack writes; each is spelt here or in a module that this one imports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from features.disk.exported import MANIFEST_NAME, EmbeddingsLayout, ModelLayout
from features.disk.folds import FoldsLayout
from features.disk.searches import TuningsLayout
from features.errors import InputError

Split: TypeAlias = Literal["train", "validation", "test"]
StageName: TypeAlias = Literal["retrieval", "ranking", "list_ranking"]
ModelName: TypeAlias = Literal["retrieval", "retrieval_exact", "ranking", "recommender"]
ServerFile: TypeAlias = Literal["models", "canary_load", "canary_labels", "batching", "monitoring"]

SPLITS: tuple[Split, ...] = get_args(Split)
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)
"""In the order in which they are trained."""
MODEL_NAMES: tuple[ModelName, ...] = get_args(ModelName)


@dataclass(frozen=True)
class DatasetLayout:
    """A dataset directory, written by `recstack prepare`."""

    root: Path

    @property
    def manifest(self) -> Path:
        """Written last: the directory is complete when it exists."""
        return self.root / MANIFEST_NAME

    @property
    def schema(self) -> Path:
        """The schema as JSON."""
        return self.root / "schema.json"

    @property
    def statistics(self) -> Path:
        """Statistics of the training data."""
        return self.root / "statistics.json"

    @property
    def profile(self) -> Path:
        """Statistics of the dataset as JSON, which the report shows and which the next dataset is compared with."""
        return self.root / "profile.json"

    @property
    def values(self) -> Path:
        """How often each value of each feature with a vocabulary occurs, as Parquet."""
        return self.root / "values.parquet"

    @property
    def report(self) -> Path:
        """The data report, as HTML."""
        return self.root / "report.html"

    @property
    def refused_report(self) -> Path:
        """The data report of the last dataset that was refused because it had drifted too far."""
        return self.root.with_name(f"{self.root.name}-refused.html")

    @property
    def rejects(self) -> Path:
        """Parquet files of the refused rows, each with its reason and origin."""
        return self.root / "rejects"

    @property
    def candidates(self) -> Path:
        """TFRecord shards with one record for each item of the catalogue."""
        return self.root / "candidates"

    @property
    def vocabularies(self) -> Path:
        """One file a feature."""
        return self.root / "vocabulary"

    def vocabulary(self, feature_name: str) -> Path:
        """The vocabulary of one feature."""
        return self.vocabularies / f"{feature_name}.txt"

    @property
    def facts(self) -> tuple[Path, ...]:
        """All but the events: what a trained model needs of the dataset to be restored; small beside the events."""
        return (self.schema, self.statistics, self.vocabularies, self.candidates, self.manifest)

    def interactions(self, split: Split) -> Path:
        """TFRecord shards of positive interactions, for retrieval."""
        return self.root / split

    def ranking(self, split: Split) -> Path:
        """TFRecord shards of labelled events, for ranking."""
        return self.root / "ranking" / split


@dataclass(frozen=True)
class StageLayout:
    """One trained stage of a run, written by `recstack train`."""

    directory: Path

    @property
    def manifest(self) -> Path:
        """Written last: the stage is trained when it exists."""
        return self.directory / MANIFEST_NAME

    @property
    def inputs(self) -> Path:
        """Fingerprints of what the stage is trained from, written first; the manifest repeats them."""
        return self.directory / "inputs.json"

    @property
    def dataset(self) -> DatasetLayout:
        """The facts of the dataset that the stage was trained on; they outlive the dataset."""
        return DatasetLayout(self.directory / "dataset")

    @property
    def config(self) -> Path:
        """The resolved configuration, the text that `--print-config` prints."""
        return self.directory / "config.toml"

    @property
    def checkpoints(self) -> Path:
        """Directory of all checkpoints."""
        return self.directory / "checkpoints"

    @property
    def best_checkpoints(self) -> Path:
        """Checkpoint of the best model so far, which is evaluated and exported."""
        return self.checkpoints / "best"

    @property
    def last_checkpoints(self) -> Path:
        """Checkpoint that an interrupted training resumes from."""
        return self.checkpoints / "last"

    @property
    def metrics(self) -> Path:
        """Metrics of the evaluation, written by `recstack evaluate`."""
        return self.directory / "metrics.json"

    @property
    def report(self) -> Path:
        """The evaluation of retrieval as plots and tables, as HTML."""
        return self.directory / "report.html"

    @property
    def events(self) -> Path:
        """Encoded events of a training that streams them; removed when the training ends."""
        return self.directory / "events"

    def events_of(self, worker: int, num_workers: int) -> Path:
        """The encoded events of one worker."""
        return self.events / f"part-{worker}-of-{num_workers}"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.directory / "tensorboard"


@dataclass(frozen=True)
class RunLayout:
    """One training run, with one directory for each stage."""

    root: Path

    @property
    def id(self) -> str:
        """Its name among the runs."""
        return self.root.name

    def stage(self, name: StageName) -> StageLayout:
        """The directory of one stage."""
        return StageLayout(self.root / name)

    @property
    def report(self) -> Path:
        """HTML page of a run that no retraining made."""
        return self.root / "report.html"

    def finished(self) -> tuple[StageName, ...]:
        """The stages that are trained."""
        return tuple(name for name in STAGE_NAMES if self.stage(name).manifest.exists())


@dataclass(frozen=True)
class RunsLayout:
    """All runs of one recommender, a directory each, and a file that names the current one."""

    root: Path

    @property
    def current_file(self) -> Path:
        """Holds the id of the run that is evaluated and exported; replaced as a whole.

        A file and no symbolic link: object stores have no links, but replace an object at once.
        """
        return self.root / "current"

    @property
    def current(self) -> RunLayout | None:
        """The run that `current_file` names; None before the first run is finished, or if that run is gone.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            run_id = self.current_file.read_text("utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.current_file}: a file with the id of a run expected ({error}); remove it and run "
                "`recstack train` again, which finds finished runs"
            ) from error
        run = self.run(run_id)
        return run if is_run_id(run_id) and run.root.is_dir() else None

    def run(self, run_id: str) -> RunLayout:
        """One run."""
        return RunLayout(self.root / run_id)

    def all(self) -> list[RunLayout]:
        """Every run that is there, finished or not, by id."""
        if not self.root.is_dir():
            return []
        paths = sorted(path for path in self.root.iterdir() if path.is_dir() and is_run_id(path.name))
        return [RunLayout(path) for path in paths if path != self.current_file]


def is_run_id(text: str) -> bool:
    """Whether it can be the id of a run; names with a dot in front are temporary."""
    return bool(text) and not text.startswith(".") and "/" not in text


@dataclass(frozen=True)
class RetrainingLayout:
    """One retraining, written by `recstack retrain`."""

    root: Path

    @property
    def id(self) -> str:
        """Its name among the retrainings."""
        return self.root.name

    @property
    def record(self) -> Path:
        """JSON: run, data window, seconds of each step, outcome and published versions; rewritten after each step."""
        return self.root / "record.json"

    @property
    def gate(self) -> Path:
        """JSON: the measured value, threshold and verdict of each rule of the gate."""
        return self.root / "gate.json"

    @property
    def samples(self) -> Path:
        """JSON: some users with the lists of the live and of the new models."""
        return self.root / "samples.json"

    @property
    def report(self) -> Path:
        """HTML page of the record, of the gate's verdicts, of the sample users and of the run."""
        return self.root / "report.html"

    @property
    def run_details(self) -> Path:
        """The report's parts about the run, HTML without head and end."""
        return self.root / "run.html"

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.root / "config.toml"

    @property
    def staged(self) -> "Workdir":
        """Holds the SavedModels before they are published, and what a server of them needs."""
        return Workdir(self.root)


@dataclass(frozen=True)
class RetrainingsLayout:
    """All retrainings of one recommender, a directory each."""

    root: Path

    @property
    def lease(self) -> Path:
        """Names the process that retrains at the moment."""
        return self.root / "lease.json"

    @property
    def attempts(self) -> Path:
        """One line of JSON for each call of `recstack retrain`, the newest last."""
        return self.root / "attempts.jsonl"

    def retraining(self, retraining_id: str) -> RetrainingLayout:
        """One retraining."""
        return RetrainingLayout(self.root / retraining_id)

    def all(self) -> list[RetrainingLayout]:
        """Every retraining that has a record, by id."""
        if not self.root.is_dir():
            return []
        paths = sorted(path for path in self.root.iterdir() if path.is_dir() and is_run_id(path.name))
        return [layout for layout in map(RetrainingLayout, paths) if layout.record.exists()]


@dataclass(frozen=True)
class Workdir:
    """The folder that holds one recommender: dataset, runs and SavedModels."""

    root: Path

    @property
    def dataset(self) -> DatasetLayout:
        """The prepared data."""
        return DatasetLayout(self.root / "dataset")

    @property
    def runs(self) -> RunsLayout:
        """The training runs."""
        return RunsLayout(self.root / "runs")

    @property
    def current_run(self) -> RunLayout:
        """The run that is evaluated and exported.

        Raises:
            InputError: no run is finished.
        """
        if (run := self.runs.current) is None:
            raise InputError(f"{self.runs.root}: no finished run found; run `recstack train`")
        return run

    def fold(self, number: int) -> "Workdir":
        """The folder of one fold of a cross-validation, with a dataset and runs of its own."""
        return Workdir(self.folds.fold(number))

    @property
    def folds(self) -> FoldsLayout:
        """The folds of a cross-validation."""
        return FoldsLayout(self.root / "folds")

    @property
    def retrainings(self) -> RetrainingsLayout:
        """The retrainings, with what they staged and what the gate said."""
        return RetrainingsLayout(self.root / "retrainings")

    @property
    def tunings(self) -> TuningsLayout:
        """The searches of `recstack tune`."""
        return TuningsLayout(self.root / "tunings")

    @property
    def saved_models(self) -> Path:
        """The models' base paths."""
        return self.root / "saved_models"

    @property
    def catalogue(self) -> DatasetLayout:
        """A catalogue newer than the dataset's: candidates and manifest only."""
        return DatasetLayout(self.root / "catalogue")

    @property
    def embeddings(self) -> EmbeddingsLayout:
        """Vectors of users and items as files."""
        return EmbeddingsLayout(self.root / "embeddings")

    def model(self, name: str) -> ModelLayout:
        """One model's base path."""
        return ModelLayout(self.saved_models / name)

    @property
    def model_config(self) -> Path:
        """`--model_config_file` of a server for all models."""
        return self.saved_models / "models.config"

    @property
    def stable_file(self) -> Path:
        """By model, the version that the label `stable` names; without the file it is the one before the newest."""
        return self.saved_models / "stable.json"

    @property
    def store_id_file(self) -> Path:
        """A random id; the object store that holds the same one holds what was published from here."""
        return self.saved_models / "store_id"

    def server_file(self, name: ServerFile) -> Path:
        """A configuration file for a server that finds the models below `export.served_from`."""
        return self.saved_models / "server" / f"{name}.config"

    @property
    def summary(self) -> Path:
        """What `recstack demo` measured."""
        return self.root / "summary.json"
