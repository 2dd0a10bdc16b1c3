"""The stages of a recommender as functions without a console; verbs, tests and programs call them.

    >>> from pathlib import Path
    >>> from features.disk.layout import STAGE_NAMES
    >>> from recstack.config import load_config
    >>> stack = load_config(Path("configs/movielens.toml"))
    >>> prepared = prepare(stack)
    >>> for name in STAGE_NAMES:
    ...     trained = train(stack, name)
    ...     evaluated = evaluate(stack, name)
    >>> exported = export(stack)

Each returns a small result and reports to `progress`. TensorFlow and Beam are imported by the function that needs them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from features.disk.files import exclusive, write_text_atomically
from features.disk.layout import DatasetLayout, StageName
from features.disk.manifest import StageResult
from recstack.config import StackConfig

if TYPE_CHECKING:
    from trainer.evaluation.job import EvaluationResult
    from trainer.export.assembly import ExportJob
    from trainer.export.saving import Exported
    from trainer.training.progress import ProgressCallback
    from trainer.training.stage import StageContext

Report: TypeAlias = Callable[[str], None]


def silent(message: object) -> None:
    """Reports nothing."""


def prepare(stack: StackConfig, progress: Report = silent) -> StageResult:
    """Raw tables to a dataset.

    Raises:
        InputError: a table, a file or the directory is not as it must be, or another process is preparing there.
        RecstackError: the work failed.
    """
    from beam_pipelines.prepare import prepare_dataset

    return prepare_dataset(stack.features, stack.pipeline, stack.layout.dataset, seed=stack.seed, progress=progress)


def train(stack: StackConfig, name: StageName, progress: "ProgressCallback" = silent) -> StageResult:
    """The dataset to one trained stage.

    Raises:
        ConfigError: the configuration asks for a feature that the schema does not have.
        InputError: the dataset is missing or another process trains the same stage.
        RecstackError: the training diverged.
    """
    stack.require_dataset()
    layout = stack.layout.current_run.stage(name)
    with exclusive(layout.directory, "recstack train"):
        from trainer.stage import stages_of, train_stage

        result = train_stage(stage_context(stack, progress), stages_of(stack)[name])
        if not result.nothing_to_do or not layout.config.exists():
            write_text_atomically(layout.config, stack.to_toml())
    return result


def evaluate(stack: StackConfig, name: StageName, progress: Report = silent) -> "EvaluationResult":
    """One trained stage to metrics, beside baselines on the same split.

    Raises:
        InputError: the dataset or the run is missing, or the split holds nothing to judge by.
    """
    stack.require_dataset()
    from trainer.evaluation.job import EvaluationJob, evaluate_stage
    from trainer.stage import stages_of

    job = EvaluationJob(context=stage_context(stack), config=stack.evaluation, progress=progress)
    return evaluate_stage(job, stages_of(stack)[name])


def export(stack: StackConfig, progress: Report = silent, *, refresh_index: bool = False) -> "list[Exported]":
    """Trained stages to published SavedModels.

    Args:
        stack: the configuration.
        progress: told in one line what is being done.
        refresh_index: whether the items table is read again and its items take the place of the dataset's.

    Raises:
        InputError: a stage is missing, or a refreshed catalogue lost too many items.
    """
    with _catalogue(stack, progress, refresh_index) as catalogue:
        from trainer.export.job import export_models

        return export_models(_export_job(stack, progress, catalogue))


def export_embeddings(stack: StackConfig, progress: Report = silent, *, refresh_index: bool = False) -> StageResult:
    """The vectors of users and items as files; arguments and errors are those of `export`."""
    with _catalogue(stack, progress, refresh_index) as catalogue:
        from trainer.export.embeddings import export_embeddings as write_embeddings

        return write_embeddings(_export_job(stack, progress, catalogue))


def stage_context(stack: StackConfig, progress: "ProgressCallback" = silent) -> "StageContext":
    """What the configuration's stages share."""
    from trainer.training.cluster import make_cluster
    from trainer.training.stage import StageContext

    return StageContext(
        schema=stack.features,
        dataset=stack.layout.dataset,
        run=stack.layout.current_run,
        seed=stack.seed,
        cluster=make_cluster(stack.strategy),
        progress=progress,
    )


@contextmanager
def _catalogue(stack: StackConfig, progress: Report, refresh_index: bool) -> Iterator[DatasetLayout | None]:
    """Another catalogue than the dataset's, read anew; no other process changes it while the block runs."""
    stack.require_dataset()
    if not refresh_index:
        yield None
        return
    from beam_pipelines.refresh import prepare_catalogue

    catalogue = stack.layout.catalogue
    with exclusive(stack.layout.saved_models, "recstack export --refresh-index"):
        prepare_catalogue(stack.features, stack.pipeline, stack.layout.dataset, catalogue, progress)
        yield catalogue


def _export_job(stack: StackConfig, progress: Report, catalogue: DatasetLayout | None) -> "ExportJob":
    from trainer.export.assembly import ExportJob
    from trainer.stage import stages_of

    return ExportJob(
        context=stage_context(stack),
        stages=stages_of(stack),
        workdir=stack.layout,
        index=stack.index,
        export=stack.export,
        catalogue=catalogue,
        say=progress,
    )
