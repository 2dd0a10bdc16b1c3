"""What the manifests say of the live models, and the data behind them and behind the staged ones."""

from collections.abc import Mapping

from beam_pipelines.profile.drift import DatasetSnapshot, former_dataset, measure_drift
from features.disk.layout import DatasetLayout, ModelName, Workdir
from features.disk.manifest import read_manifest
from recstack.config import StackConfig
from recstack.retraining.gate.evidence import DataFacts
from recstack.retraining.record import read_records
from trainer.export.inputs import newest_event


def facts_of_dataset(dataset: DatasetLayout, items: int) -> DataFacts:
    """The dataset of the staged models, whose catalogue has so many items."""
    manifest = read_manifest(dataset.manifest, "dataset")
    return DataFacts(
        counts=dict(manifest.counts), items=items, dataset=manifest.fingerprint(), newest=newest_event(dataset)
    )


def facts_of_live(workdir: Workdir, versions: Mapping[ModelName, int]) -> DataFacts | None:
    """The dataset of the live models, as their manifests record it; None without a live model."""
    for model, version in versions.items():
        manifest = read_manifest(workdir.model(model).manifest(version), "saved_model")
        return DataFacts(
            counts=dict(manifest.counts),
            items=manifest.counts.get("indexed_items", 0),
            dataset=manifest.inputs.get("dataset", ""),
            newest=manifest.metrics.get("newest_event", 0),
        )
    return None


def level_of_live(workdir: Workdir, versions: Mapping[ModelName, int]) -> dict[str, float]:
    """The metrics of retrieval that the live models reached when they were evaluated, by name; empty if unknown."""
    for model, version in versions.items():
        manifest = read_manifest(workdir.model(model).manifest(version), "saved_model")
        evaluated = manifest.metrics.get("evaluation", {}).get("retrieval")
        if evaluated is not None:
            return {name: float(interval["value"]) for name, interval in evaluated["metrics"].items()}
    return {}


def feature_drift(stack: StackConfig, versions: Mapping[ModelName, int]) -> dict[str, float]:
    """The stability index of each feature against the data behind the live models; the time always moves on.

    Where these data were not kept, since the models come from elsewhere, it is what `recstack prepare` measured against
    the dataset that it replaced.
    """
    if not versions:
        return {}
    live = facts_of_live(stack.layout, versions)
    before = kept_dataset(stack.layout, live.dataset) if live is not None else None
    now = former_dataset(stack.layout.dataset)
    if before is None or now is None:
        drift = read_manifest(stack.layout.dataset.manifest, "dataset").metrics.get("drift") or {}
        found = drift.get("stability", {})
    else:
        found = measure_drift(before, now, stack.features, stack.pipeline.drift).stability
    return {name: float(value) for name, value in found.items() if name != stack.features.timestamp}


def kept_dataset(workdir: Workdir, fingerprint: str) -> DatasetSnapshot | None:
    """The profile of the dataset with this fingerprint that a retraining saved; None if no retraining did."""
    for record in read_records(workdir.retrainings):
        if record.dataset == fingerprint:
            return former_dataset(workdir.retrainings.retraining(record.id).staged.dataset)
    return None
