"""Decides whether a finished dataset is up to date, and whether a new one may replace what is there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from beam_pipelines.config import DriftConfig, PipelineConfig
from beam_pipelines.sources.table_origin import TableOrigin
from features.disk.layout import DatasetLayout
from features.disk.manifest import FORMAT_VERSION, Manifest, read_manifest
from features.errors import InputError
from features.schema import Schema, fingerprint
from features.serialization import unstructure

# The manifest's fingerprint of the vocabularies, which depend on the dataset that was there before.
VOCABULARY = "vocabulary"


def dataset_inputs(schema: Schema, config: PipelineConfig, origins: Sequence[TableOrigin], seed: int) -> dict[str, str]:
    """Fingerprints of everything that the records depend on.

    The runner, the number of workers and the limits on drift do not change the records.
    """
    relevant = replace(config, num_workers=0, runner="local", runner_options=(), drift=DriftConfig())
    return {
        "schema": schema.fingerprint(),
        "config": fingerprint(unstructure(relevant)),
        "seed": str(seed),
        "format_version": str(FORMAT_VERSION),
    } | {origin.table.name: origin.fingerprint() for origin in origins}


def finished_dataset(dataset: DatasetLayout, inputs: Mapping[str, str]) -> Manifest | None:
    """The manifest of a finished dataset of these inputs, whatever its vocabularies had grown from."""
    try:
        manifest = read_manifest(dataset.manifest, "dataset")
    except InputError:
        return None
    former = {name: value for name, value in manifest.inputs.items() if name != VOCABULARY}
    return manifest if former == dict(inputs) else None


def require_replaceable(dataset: DatasetLayout) -> None:
    """Checks that nothing but a dataset, damaged or not, is in the new one's place.

    Raises:
        InputError: something else is there.
    """
    root = dataset.root
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    if not any(path.exists() for path in (dataset.manifest, dataset.schema, dataset.statistics)):
        raise InputError(
            f"{root}: is in the way and was not made by recstack; move it elsewhere or choose another `workdir`"
        )
