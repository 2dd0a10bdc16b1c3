"""`export_models`: trained models to published SavedModels."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from features.disk.layout import ModelName, StageLayout, StageName
from features.disk.manifest import Manifest, finished_with, producer_versions, read_manifest
from features.errors import ConfigError, InputError
from features.schema import fingerprint
from features.serialization import unstructure
from trainer.config.export import stages_needed
from trainer.export.assembly import Assembly, ExportJob
from trainer.export.description import Description
from trainer.export.inputs import fingerprints, newest_event
from trainer.export.labels import stable_version
from trainer.export.mirror import check_store, settle_models
from trainer.export.publish import StagedVersion, discard
from trainer.export.requests import example_requests
from trainer.export.rollback import was_rolled_back
from trainer.export.saving import Exported, build_version, directory_bytes, prune, publish_version, saved_outputs
from trainer.index.build import BuiltIndex
from trainer.restore import require_trained

# Fields of the configuration that no version depends on.
_ABOUT_SERVERS = (
    "keep_versions",
    "smallest_refresh",
    "served_from",
    "publish_to",
    "max_batch_size",
    "batch_timeout_micros",
)


@dataclass(frozen=True, kw_only=True)
class BuiltModel:
    """A model's next version, built but not published; or its newest one, if that was made from the same inputs."""

    model: ModelName
    staged: StagedVersion | None
    """The complete version that no server sees yet; None if there is nothing to publish."""


def export_models(job: ExportJob) -> list[Exported]:
    """Builds and publishes the next version of each configured model whose inputs changed.

    Raises:
        InputError: a former stage is missing, a refreshed catalogue lost too many items, or the SavedModels cannot be
            written where they belong.
        RecstackError: the object store does not answer; what was published by then stays.
    """
    check_store(job.workdir, job.export)
    return publish_models(job, build_models(job))


def _stages_of(job: ExportJob, *models: ModelName) -> tuple[StageName, ...]:
    return stages_needed(models, list_ranking=job.stages["list_ranking"].config.enabled)


def build_models(job: ExportJob) -> list[BuiltModel]:
    """Builds what is to be published, so that it can be judged first; servers see nothing of it.

    Pass the result to `publish_models`, or discard each `staged` by `trainer.export.publish.discard`.

    Raises:
        InputError: As in `export_models`.
    """
    _check_names(job)
    _check_catalogue(job)
    inputs = export_inputs(job)
    for name in _stages_of(job, *job.export.models):
        require_trained(job.context, job.stages[name])
    assembly, built = Assembly(job), list[BuiltModel]()
    try:
        for model in job.export.models:
            is_new = not _is_published(job, model, inputs[model])
            staged = _build(assembly, model, inputs[model]) if is_new else None
            built.append(BuiltModel(model=model, staged=staged))
    except BaseException:
        for done in built:
            if done.staged is not None:
                discard(done.staged)
        raise
    return built


def export_inputs(job: ExportJob) -> dict[ModelName, dict[str, str]]:
    """Fingerprints of all that each model is made from, as its version's manifest records them.

    Raises:
        InputError: a stage or the dataset is missing.
    """
    return {model: _inputs(job, model) for model in job.export.models}


def publish_models(job: ExportJob, built: Sequence[BuiltModel]) -> list[Exported]:
    """Publishes what `build_models` returned, and removes the oldest versions."""
    exported = []
    for each in built:
        layout = job.workdir.model(each.model)
        if each.staged is not None:
            job.progress(f"{each.model}: version {publish_version(each.staged)} published")
        assert layout.current is not None, "published now or before"
        exported.append(_exported(job, each.model, layout.current, nothing_to_do=each.staged is None))
    for model in job.export.models:
        layout, spared = job.workdir.model(model), stable_version(job.workdir, model)
        prune(layout, job.export.keep_versions, job.progress, [] if spared is None else [spared])
    settle_models(job.workdir, job.export, job.progress)
    return exported


def _check_names(job: ExportJob) -> None:
    """Refuses names that no SavedModel can have: TensorFlow names the inputs of signatures in ASCII."""
    schema = job.context.schema
    for feature in (*schema.query, *schema.candidate):
        if not feature.name.isascii():
            raise ConfigError(
                f"features.{feature.name}.name",
                feature.name,
                "a name in ASCII, since TensorFlow names the inputs of a SavedModel so; rename the feature and map its "
                f'column, such as `columns = {{ renamed = "{feature.name}" }}` in the pipeline\'s table, and run '
                "`recstack prepare` again",
            )


def _check_catalogue(job: ExportJob) -> None:
    """Refuses a refreshed catalogue of which much is missing: it would replace what is served in one go."""
    if job.catalogue is None:
        return
    items = read_manifest(job.catalogue.manifest, "catalogue").counts["candidates"]
    for model in job.export.models:
        layout = job.workdir.model(model)
        if layout.current is None:
            continue
        served = read_manifest(layout.manifest(layout.current), "saved_model").counts.get("indexed_items", 0)
        if items < job.export.smallest_refresh * served:
            raise InputError(
                f"catalogue {job.catalogue.root}: {items:,} items, where version {layout.current} of {model} has "
                f"{served:,}: at least export.smallest_refresh = {job.export.smallest_refresh:g} of them expected; "
                "mend the items table, or lower the share if it is right"
            )


def _is_published(job: ExportJob, model: ModelName, inputs: Mapping[str, str]) -> bool:
    """Whether the newest version was made from these inputs, or took the place of one that was."""
    layout = job.workdir.model(model)
    if layout.current is None:
        return False
    path = layout.manifest(layout.current)
    if was_rolled_back(path, inputs):
        job.progress(f"{model}: rolled back to an older version; a new one is published when its inputs change")
        return True
    return finished_with(path, "saved_model", inputs) is not None


def _build(assembly: Assembly, model: ModelName, inputs: Mapping[str, str]) -> StagedVersion:
    start = time.perf_counter()
    servable, index = _assemble(assembly, model)
    signatures = servable.signatures()
    requests = example_requests(assembly, signatures)

    def describe(staged: StagedVersion) -> None:
        Description(
            model=model,
            signatures=signatures,
            outputs=saved_outputs(staged.directory, signatures),
            requests=requests,
            report=index.report if index else None,
            manifest=_manifest(assembly, model, inputs, index, time.perf_counter() - start),
        ).write(staged.extra)

    layout = assembly.job.workdir.model(model)
    staged = build_version(layout, model, signatures, servable, requests=requests, describe=describe)
    assembly.job.progress(f"{model}: built in {time.perf_counter() - start:.1f} s")
    return staged


def _assemble(assembly: Assembly, model: ModelName) -> tuple[Any, BuiltIndex | None]:
    if model == "ranking":
        return assembly.ranking(), None
    return assembly.recommender() if model == "recommender" else assembly.retrieval(model)


def _inputs(job: ExportJob, model: ModelName) -> dict[str, str]:
    """Fingerprints of all that a model is made from."""
    shown = {name: value for name, value in unstructure(job.export).items() if name not in _ABOUT_SERVERS}
    return fingerprints(job, _stages_of(job, model)) | {
        "export": fingerprint([shown, job.context.seed]),
        "index": fingerprint(unstructure(job.index)),
    }


def _manifest(
    assembly: Assembly, model: ModelName, inputs: Mapping[str, str], index: BuiltIndex | None, seconds: float
) -> Manifest:
    job = assembly.job
    trained = {name: job.context.run.stage(name) for name in _stages_of(job, model)}
    evaluation = {name: result for name, layout in trained.items() if (result := evaluation_of(layout)) is not None}
    measured: dict[str, Any] = {"index": asdict(index.report)} if index else {}
    measured["newest_event"] = newest_event(job.context.dataset)
    dataset = read_manifest(job.context.dataset.manifest, "dataset")
    return Manifest(
        kind="saved_model",
        schema_fingerprint=job.context.schema.fingerprint(),
        inputs=inputs,
        config={
            "export": unstructure(job.export),
            "index": unstructure(job.index),
            "schema": unstructure(job.context.schema),
        },
        counts=dict(dataset.counts) | {"indexed_items": len(assembly.candidates)},
        metrics=measured | ({"evaluation": evaluation} if evaluation else {}),
        vocabularies={
            name: assembly.encoder.lookup(name).vocabulary.fingerprint() for name in job.context.schema.vocabularies
        },
        producer=producer_versions("tensorflow", "scann", "tensorflow-recommenders"),
        seconds=seconds,
    )


def evaluation_of(layout: StageLayout) -> dict[str, Any] | None:
    """Split and headline metrics of a stage's evaluation; None where there is none of this run, or a damaged one."""
    try:
        result = json.loads(layout.metrics.read_text("utf-8"))
        evaluated = result["inputs"]["run"]
        metrics = _metrics_of_tasks(result["tasks"]) if "tasks" in result else result["model"]["metrics"]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if evaluated != read_manifest(layout.manifest, "run").fingerprint():
        return None
    return {"split": result["split"], "confidence": result.get("confidence"), "metrics": metrics}


def _metrics_of_tasks(tasks: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What a ranking evaluation says of each task, by `task/metric`, with the bounds of its intervals."""
    metrics: dict[str, dict[str, float]] = {}
    for task, judged in tasks.items():
        for name, value in judged["model"].items():
            if isinstance(value, float):
                interval = judged["model"].get(f"{name}_interval", ())
                metrics[f"{task}/{name}"] = {"value": value} | dict(zip(("low", "high"), interval, strict=False))
    return metrics


def _exported(job: ExportJob, model: ModelName, version: int, *, nothing_to_do: bool) -> Exported:
    layout = job.workdir.model(model)
    directory = layout.version(version)
    return Exported(
        model=model,
        version=version,
        directory=directory,
        num_bytes=directory_bytes(directory),
        seconds=read_manifest(layout.manifest(version), "saved_model").seconds,
        nothing_to_do=nothing_to_do,
    )
