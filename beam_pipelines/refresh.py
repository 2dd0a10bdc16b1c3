"""Reads the items table again, for a new catalogue of trained models; the dataset stays as it is."""

import shutil
import time
from collections.abc import Callable

import pyarrow as pa

from beam_pipelines.config import PipelineConfig
from beam_pipelines.passes.catalogue import build_catalogue, write_candidates
from beam_pipelines.passes.context import new_context
from beam_pipelines.passes.ingest import read_tables
from beam_pipelines.sources.table_origin import find_origin
from beam_pipelines.sources.tables import raw_tables
from features.disk.files import staged_directory
from features.disk.layout import DatasetLayout
from features.disk.manifest import Manifest, finished_with, producer_versions, read_manifest, require_schema
from features.encoding.vocabulary import Vocabulary
from features.errors import ConfigError
from features.schema import Schema, fingerprint
from features.serialization import unstructure

# No interactions are read: the catalogue is exactly the items table.
_NOTHING_SEEN = pa.table(
    {"value": pa.array([], pa.string()), "events": pa.array([], pa.int64()), "positives": pa.array([], pa.int64())}
)


def prepare_catalogue(
    schema: Schema,
    config: PipelineConfig,
    dataset: DatasetLayout,
    catalogue: DatasetLayout,
    progress: Callable[[str], None],
) -> Manifest:
    """Writes the items table as candidate records, which `recstack export --refresh-index` indexes.

    Items that the table no longer has disappear, changed items get their new features, and new items have nothing but
    their features. Train frequencies are written as 0, since no export uses them.

    Args:
        schema: candidate features.
        config: the items table.
        dataset: what the models were trained on; only its item vocabulary is read.
        catalogue: where the records go. It is replaced as a whole, or kept if the inputs have not changed.
        progress: called with one line about each step.

    Raises:
        ConfigError: the configuration names no items table.
        InputError: the dataset is missing, or the table is invalid.
        RecstackError: the work failed.
    """
    began = time.monotonic()
    trained = read_manifest(dataset.manifest, "dataset")
    require_schema(trained, schema.fingerprint(), dataset.manifest)
    table = next((table for table in raw_tables(schema, config) if table.name == "items"), None)
    if table is None:
        raise ConfigError("pipeline.items.path", config.items.path, "the table of the new catalogue")
    origin = find_origin(table)
    inputs = {
        "dataset": trained.fingerprint(),
        "items": origin.fingerprint(),
        "config": fingerprint(unstructure(config.items)),
    }
    finished = finished_with(catalogue.manifest, "catalogue", inputs)
    if finished is not None:
        return finished
    progress(f"reading {len(origin.files)} files of the items table")
    with staged_directory(catalogue.root) as staging:
        target = DatasetLayout(staging)
        context = new_context(schema, config, target, seed=0)
        read = read_tables([origin], context)
        items = build_catalogue(schema, read.chunks("items"), _NOTHING_SEEN)
        known = Vocabulary.read(dataset.vocabulary(schema.item_id), schema.item_id_feature.oov_buckets)
        write_candidates(schema, items, known, target, config.compression_level)
        shutil.rmtree(context.workspace.root)
        manifest = Manifest(
            kind="catalogue",
            schema_fingerprint=schema.fingerprint(),
            inputs=inputs,
            config=unstructure(config.items),
            counts=dict(read.counts) | {"candidates": items.table.num_rows, "items_duplicates": items.duplicates},
            producer=producer_versions("apache-beam", "numpy", "pyarrow"),
            seconds=time.monotonic() - began,
        )
        manifest.write(target.manifest)
    progress(_told(manifest, catalogue))
    return manifest


def _told(manifest: Manifest, catalogue: DatasetLayout) -> str:
    counts = manifest.counts
    text = f"items in the new catalogue: {counts['candidates']:,}"
    if counts["items_duplicates"]:
        text += f"; rows with an id that comes again: {counts['items_duplicates']:,}, the last one counts"
    if counts["items_rejected"]:
        text += f"; rows refused: {counts['items_rejected']:,}, see {catalogue.rejects}"
    return text
