"""The stages of a recommender as functions without a console; verbs, tests and programs call them.

    >>> from pathlib import Path
    >>> from recstack.config import load_config
    >>> stack = load_config(Path("configs/movielens.toml"))
    >>> prepared = prepare(stack)
    >>> for name in stack.stage_names:
    ...     trained = train(stack, name)
    ...     evaluated = evaluate(stack, name)
    >>> exported = export(stack)

Each returns a small result and reports to `progress`. TensorFlow and Beam are imported by the function that needs them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from features.disk.files import exclusive, in_use, write_text_atomically
from features.disk.layout import DatasetLayout, RunLayout, StageName, is_run_id
from features.disk.manifest import StageResult
from features.errors import InputError
from recstack.config import StackConfig, require_strategy
from recstack.retraining.registry import served_runs
from trainer.config.export import stages_needed

if TYPE_CHECKING:
    from trainer.data.encoded_dataset import EncodedDataset
    from trainer.evaluation.job import EvaluationResult
    from trainer.export.assembly import ExportJob
    from trainer.export.saving import Exported
    from trainer.training.cluster import Cluster
    from trainer.training.progress import ProgressCallback
    from trainer.training.runs import RunInputs
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


def train(
    stack: StackConfig,
    name: StageName,
    progress: "ProgressCallback" = silent,
    report: Report = silent,
    *,
    current: bool = True,
    profile: bool = False,
) -> StageResult:
    """The dataset to one trained stage, in the run of these settings; other runs stay as they are.

    `runs/current` names the run as soon as it has all stages that the current run has, if `current` says so.

    Args:
        stack: the configuration.
        name: the stage.
        progress: called about once a second while it is trained.
        report: told in one line what becomes of the runs.
        current: whether the run may become the current one; if not, `make_run_current` does that later.
        profile: whether a few steps are traced for TensorBoard.

    Raises:
        ConfigError: the configuration asks for a feature that the schema does not have.
        InputError: the dataset is missing or another process trains the same stage.
        RecstackError: the training diverged.
    """
    stack.require_dataset()
    require_strategy(stack, name, profile=profile)
    from trainer.training.cluster import make_cluster
    from trainer.training.runs import remove_run

    context = stage_context(stack, own_run(stack), progress, make_cluster(stack.strategy))
    context = replace(context, report=report, profile=profile, saves_when_stopped=True)
    is_new = not context.run.root.exists()
    try:
        result = train_in(context, stack, name)
    except InputError:
        trained = context.run.stage(name).directory.rglob("*.index")
        if is_new and context.cluster.is_chief and not any(trained):  # it must push out no other run
            remove_run(stack.layout.runs, context.run)
        raise
    if context.cluster.is_chief:
        _settle(stack, context.run, report, current=current)
    return result


def train_in(
    context: "StageContext", stack: StackConfig, name: StageName, dataset: "EncodedDataset | None" = None
) -> StageResult:
    """Trains one stage in the context's run; no other run is changed or removed.

    Args:
        context: of the run of these settings.
        stack: the configuration.
        name: the stage.
        dataset: the dataset, if it is encoded already.

    Raises:
        ConfigError: as `train`.
        InputError: as `train`.
        RecstackError: the training diverged.
    """
    from trainer.stage import stages_of, train_stage
    from trainer.training.runs import opened_stage

    with opened_stage(stack.layout.runs, context.run, name, _run_inputs(stack), context.cluster) as layout:
        result = train_stage(context, stages_of(stack)[name], dataset)
        if context.cluster.is_chief and not layout.config.exists():
            write_text_atomically(layout.config, stack.to_toml())
    return result


def own_run(stack: StackConfig) -> RunLayout:
    """The run of these settings, whether it is trained or not.

    Raises:
        InputError: the dataset is missing or of another schema.
    """
    from trainer.training.runs import run_of

    return run_of(stack.layout.runs, _run_inputs(stack))


def is_trained(stack: StackConfig, names: Sequence[StageName]) -> bool:
    """Whether the run of these settings has trained the stages."""
    return set(names) <= set(own_run(stack).finished())


def make_run_current(stack: StackConfig, report: Report = silent) -> None:
    """Lets `runs/current` name the run of these settings, if it has all stages that the current run has."""
    _settle(stack, own_run(stack), report, current=True)


def evaluate(stack: StackConfig, name: StageName, progress: Report = silent) -> "EvaluationResult":
    """One trained stage to metrics, beside baselines on the same split.

    Raises:
        InputError: the dataset or the run is missing, or the split holds nothing to judge by.
    """
    stack.require_dataset()
    from trainer.evaluation.job import EvaluationJob, evaluate_stage
    from trainer.stage import stages_of

    run = run_with(stack, (name,))
    job = EvaluationJob(context=stage_context(stack, run), config=stack.evaluation, progress=progress)
    with in_use(run.root):
        return evaluate_stage(job, stages_of(stack)[name])


def is_evaluated(stack: StackConfig, name: StageName) -> bool:
    """Whether `evaluate` has nothing to do; errors are as its own."""
    from trainer.evaluation.job import EvaluationJob, is_measured
    from trainer.stage import stages_of

    job = EvaluationJob(context=stage_context(stack, run_with(stack, (name,))), config=stack.evaluation)
    return is_measured(job, stages_of(stack)[name])


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

        run = run_with(stack, stages_needed(stack.export.models, list_ranking=stack.list_ranking.enabled))
        with in_use(run.root):
            return export_models(export_job(stack, run, progress, catalogue))


def export_embeddings(stack: StackConfig, progress: Report = silent, *, refresh_index: bool = False) -> StageResult:
    """The vectors of users and items as files; arguments and errors are those of `export`."""
    with _catalogue(stack, progress, refresh_index) as catalogue:
        from trainer.export.embeddings import export_embeddings as write_embeddings

        run = run_with(stack, ("retrieval",))
        with in_use(run.root):
            return write_embeddings(export_job(stack, run, progress, catalogue))


def run_with(stack: StackConfig, names: Sequence[StageName]) -> RunLayout:
    """The run of these settings if it has trained the stages, else the current run.

    So a run can be judged before it is the current one, and a setting of another stage does not matter.

    Raises:
        InputError: there is neither.
    """
    run = own_run(stack)
    return run if set(names) <= set(run.finished()) else stack.layout.current_run


def stage_context(
    stack: StackConfig,
    run: RunLayout | None = None,
    progress: "ProgressCallback" = silent,
    cluster: "Cluster | None" = None,
) -> "StageContext":
    """What the stages of a run share; by default those of the current run, for this process alone."""
    from trainer.training.cluster import Cluster
    from trainer.training.stage import StageContext

    return StageContext(
        schema=stack.features,
        dataset=stack.layout.dataset,
        run=run or stack.layout.current_run,
        seed=stack.seed,
        start_from=_start_from(stack),
        cluster=cluster or Cluster(),
        training=stack.training,
        progress=progress,
    )


def export_job(
    stack: StackConfig, run: RunLayout, progress: Report = silent, catalogue: DatasetLayout | None = None
) -> "ExportJob":
    """What is exported of a run; with a catalogue, its items in place of the dataset's."""
    from trainer.export.assembly import ExportJob
    from trainer.stage import stages_of

    return ExportJob(
        context=stage_context(stack, run),
        stages=stages_of(stack),
        workdir=stack.layout,
        index=stack.index,
        export=stack.export,
        catalogue=catalogue,
        progress=progress,
    )


def _run_inputs(stack: StackConfig) -> "RunInputs":
    from trainer.stage import stages_of
    from trainer.training.inputs import stage_inputs

    dataset = stack.layout.dataset
    former = _start_from(stack)
    former_id = "" if former is None else former.id
    return {
        name: stage_inputs(stage, stack.features, dataset, stack.seed, former_id, stack.training)
        for name, stage in stages_of(stack).items()
    }


def _start_from(stack: StackConfig) -> RunLayout | None:
    """The run whose weights a training starts from, by its id or its path; None if there is none."""
    former = stack.start_from
    if not former:
        return None
    return stack.layout.runs.run(former) if is_run_id(former) else RunLayout(Path(former))


def _settle(stack: StackConfig, run: RunLayout, report: Report, *, current: bool) -> None:
    """Lets the run be the current one if it has all that it needs, and removes the oldest runs."""
    from trainer.training.runs import make_current, prune_runs

    runs = stack.layout.runs
    missing = make_current(runs, run) if current else ()
    if missing:
        report(
            f"{runs.current_file} stays as it is: the current run also has {' and '.join(missing)}, run {run.id} not "
            "yet; run `recstack train`"
        )
    prune_runs(runs, stack.keep_runs, report, served_runs(stack.layout))


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
