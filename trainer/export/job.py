"""`export_models`: trained models to published SavedModels."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from features.layout import ModelName, Stage
from features.manifest import Manifest, finished_with, producer_versions, read_manifest, require_schema
from features.schema import fingerprint
from features.serialization import unstructure
from trainer.export.assembly import Assembly, ExportJob
from trainer.export.examples import example_requests
from trainer.export.saving import Exported, directory_bytes, prune, save_version
from trainer.export.server_files import write_model_config
from trainer.index.build import BuiltIndex

_STAGES: Mapping[ModelName, tuple[Stage, ...]] = {
    "retrieval": ("retrieval",),
    "retrieval_exact": ("retrieval",),
    "ranking": ("retrieval", "ranking"),  # the catalogue's features come from the retrieval run
    "recommender": ("retrieval", "ranking"),
}


def export_models(job: ExportJob) -> list[Exported]:
    """Publishes the next version of each configured model whose inputs changed.

    Raises:
        InputError: a former stage is missing, or the SavedModels cannot be written where they belong.
    """
    inputs = {model: _inputs(job, model) for model in job.export.models}
    assembly = Assembly(job)
    exported = [_export(assembly, model, inputs[model]) for model in job.export.models]
    write_model_config(job.workdir, job.export.models)
    return exported


def _export(assembly: Assembly, model: ModelName, inputs: Mapping[str, str]) -> Exported:
    job, layout = assembly.job, assembly.job.workdir.model(model)
    newest = max(layout.versions(), default=0)
    if newest and finished_with(layout.manifest(newest), "saved_model", inputs):
        return _exported(job, model, newest, nothing_to_do=True)
    start = time.perf_counter()
    servable, index = _assemble(assembly, model)
    signatures = servable.signatures()
    version = save_version(
        layout,
        model,
        signatures,
        servable,
        requests=example_requests(assembly, signatures),
        manifest=lambda: _manifest(job, inputs, index, time.perf_counter() - start),
    )
    job.say(f"{model}: version {version} published in {time.perf_counter() - start:.1f} s")
    prune(layout, job.export.keep_versions, job.say)
    return _exported(job, model, version, nothing_to_do=False)


def _assemble(assembly: Assembly, model: ModelName) -> tuple[Any, BuiltIndex | None]:
    if model == "ranking":
        return assembly.ranking(), None
    return assembly.recommender() if model == "recommender" else assembly.retrieval(model)


def _inputs(job: ExportJob, model: ModelName) -> dict[str, str]:
    """Fingerprints of all that a model is made from."""
    path = job.workdir.dataset.manifest
    dataset = read_manifest(path, "dataset")
    require_schema(dataset, job.schema.fingerprint(), path)
    inputs = {
        "dataset": dataset.fingerprint(),
        "export": fingerprint([unstructure(job.export), job.seed]),
        "index": fingerprint(unstructure(job.index)),
    }
    return inputs | {
        stage: read_manifest(job.workdir.stage(stage).manifest, "run").fingerprint() for stage in _STAGES[model]
    }


def _manifest(job: ExportJob, inputs: Mapping[str, str], index: BuiltIndex | None, seconds: float) -> Manifest:
    return Manifest(
        kind="saved_model",
        schema_fingerprint=job.schema.fingerprint(),
        inputs=inputs,
        config={"export": unstructure(job.export), "index": unstructure(job.index)},
        metrics={"index": asdict(index.report)} if index else {},
        producer=producer_versions("tensorflow", "scann", "tensorflow-recommenders"),
        seconds=seconds,
    )


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
