"""`export_models`: trained models to published SavedModels."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from features.disk.layout import ExtraLayout, ModelName, StageLayout, StageName
from features.disk.manifest import Manifest, finished_with, producer_versions, read_manifest
from features.errors import InputError
from features.schema import fingerprint
from features.serialization import unstructure
from trainer.export.assembly import Assembly, ExportJob
from trainer.export.description import Description
from trainer.export.inputs import fingerprints
from trainer.export.requests import example_requests
from trainer.export.rollback import was_rolled_back
from trainer.export.saving import Exported, build_version, directory_bytes, prune, publish_version
from trainer.export.server_files import write_server_files
from trainer.index.build import BuiltIndex
from trainer.restore import require_trained

_STAGES: Mapping[ModelName, tuple[StageName, ...]] = {
    "retrieval": ("retrieval",),
    "retrieval_exact": ("retrieval",),
    "ranking": ("ranking",),
    "recommender": ("retrieval", "ranking"),
}

# Fields of the configuration that no version depends on.
_ABOUT_SERVERS = ("keep_versions", "smallest_refresh", "served_from", "max_batch_size", "batch_timeout_micros")


def export_models(job: ExportJob) -> list[Exported]:
    """Publishes the next version of each configured model whose inputs changed.

    Raises:
        InputError: a former stage is missing, a refreshed catalogue lost too many items, or the SavedModels cannot be
            written where they belong.
    """
    _check_catalogue(job)
    inputs = {model: _inputs(job, model) for model in job.export.models}
    for name in dict.fromkeys(name for model in job.export.models for name in _STAGES[model]):
        require_trained(job.context, job.stages[name])
    assembly = Assembly(job)
    exported = [_export(assembly, model, inputs[model]) for model in job.export.models]
    for model in job.export.models:
        prune(job.workdir.model(model), job.export.keep_versions, job.say)
    write_server_files(job.workdir, job.export)
    return exported


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


def _export(assembly: Assembly, model: ModelName, inputs: Mapping[str, str]) -> Exported:
    job, layout = assembly.job, assembly.job.workdir.model(model)
    newest = layout.current
    if newest is not None:
        path = layout.manifest(newest)
        if was_rolled_back(path, inputs):
            job.say(f"{model}: rolled back to an older version; a new one is published when its inputs change")
            return _exported(job, model, newest, nothing_to_do=True)
        if finished_with(path, "saved_model", inputs):
            return _exported(job, model, newest, nothing_to_do=True)
    start = time.perf_counter()
    servable, index = _assemble(assembly, model)
    signatures = servable.signatures()
    requests = example_requests(assembly, signatures)

    def describe(extra: ExtraLayout) -> None:
        Description(
            model=model,
            signatures=signatures,
            requests=requests,
            report=index.report if index else None,
            manifest=_manifest(assembly, model, inputs, index, time.perf_counter() - start),
        ).write(extra)

    staged = build_version(layout, model, signatures, servable, requests=requests, describe=describe)
    version = publish_version(staged)
    job.say(f"{model}: version {version} published in {time.perf_counter() - start:.1f} s")
    return _exported(job, model, version, nothing_to_do=False)


def _assemble(assembly: Assembly, model: ModelName) -> tuple[Any, BuiltIndex | None]:
    if model == "ranking":
        return assembly.ranking(), None
    return assembly.recommender() if model == "recommender" else assembly.retrieval(model)


def _inputs(job: ExportJob, model: ModelName) -> dict[str, str]:
    """Fingerprints of all that a model is made from."""
    shown = {name: value for name, value in unstructure(job.export).items() if name not in _ABOUT_SERVERS}
    return fingerprints(job, _STAGES[model]) | {
        "export": fingerprint([shown, job.context.seed]),
        "index": fingerprint(unstructure(job.index)),
    }


def _manifest(
    assembly: Assembly, model: ModelName, inputs: Mapping[str, str], index: BuiltIndex | None, seconds: float
) -> Manifest:
    job = assembly.job
    trained = {name: job.context.run.stage(name) for name in _STAGES[model]}
    evaluation = {name: result for name, layout in trained.items() if (result := evaluation_of(layout)) is not None}
    measured: dict[str, Any] = {"index": asdict(index.report)} if index else {}
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
        result = json.loads(layout.metrics.read_text())
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
