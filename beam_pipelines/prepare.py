"""`recstack prepare`: raw tables to a dataset directory."""

import json
import shutil
import time
from collections.abc import Callable
from typing import Any

from beam_pipelines.config import PipelineConfig
from beam_pipelines.dataset_inputs import VOCABULARY, dataset_inputs, finished_dataset, require_replaceable
from beam_pipelines.passes.catalogue import build_catalogue, write_candidates
from beam_pipelines.passes.context import new_context
from beam_pipelines.passes.counts import dataset_counts
from beam_pipelines.passes.findings import (
    check_joins,
    check_order,
    check_times,
    empty_vocabularies,
    odd_items,
    odd_ratings,
    odd_splits,
)
from beam_pipelines.passes.ingest import read_tables
from beam_pipelines.passes.item_lookup import write_item_lookup
from beam_pipelines.passes.learning import learn_from_events
from beam_pipelines.passes.minimum_counts import find_core
from beam_pipelines.passes.partitions import PartitionJob
from beam_pipelines.passes.shards import ShardJob, write_shards
from beam_pipelines.passes.sorting import sort_events
from beam_pipelines.passes.splits import TimeCuts, time_cuts
from beam_pipelines.passes.statistics import write_statistics
from beam_pipelines.passes.vocabularies import write_vocabularies
from beam_pipelines.profile.description import describe_dataset, import_report_meanwhile, take_snapshot
from beam_pipelines.profile.drift import Drift
from beam_pipelines.profile.report.data import ReportData
from beam_pipelines.sources.table_origin import find_origin
from beam_pipelines.sources.tables import raw_tables
from features.disk.files import exclusive, staged_directory, write_text_atomically
from features.disk.layout import DatasetLayout
from features.disk.manifest import Manifest, StageResult, producer_versions
from features.schema import Schema, fingerprint
from features.serialization import unstructure


def prepare_dataset(
    schema: Schema,
    config: PipelineConfig,
    dataset: DatasetLayout,
    *,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> StageResult:
    """Makes the dataset, or returns the finished one if the inputs have not changed.

    The dataset appears at `dataset` only when it is complete. An existing dataset is replaced, and its vocabularies
    grow: known tokens keep their rows.

    Args:
        schema: features and roles.
        config: sources and rules.
        dataset: where the dataset goes.
        seed: Seed of the sampled negatives.
        progress: called with one line about each step.

    Raises:
        InputError: a table, a file or the directory is invalid, or another process is preparing there.
        RecstackError: the work failed.
    """
    began = time.monotonic()
    origins = [find_origin(table) for table in raw_tables(schema, config)]
    inputs = dataset_inputs(schema, config, origins, seed)
    finished = finished_dataset(dataset, inputs)
    if finished is not None:
        return StageResult(manifest=finished, directory=dataset.root, nothing_to_do=True)
    require_replaceable(dataset)
    import_report_meanwhile(config)
    with exclusive(dataset.root.parent, "recstack prepare"), staged_directory(dataset.root) as staging:
        target = DatasetLayout(staging)
        context = new_context(schema, config, target, seed=seed)
        engine, workspace = context.engine, context.workspace

        progress(f"reading {sum(len(origin.files) for origin in origins)} files")
        read = read_tables(origins, context)

        notes = [*check_times(read, config), *odd_ratings(read, config)]
        progress(f"sorting {read.counts['interactions_read']:,} events")
        events = sort_events(read, context)
        notes += check_order(read, events, config)
        job = PartitionJob(
            schema=schema, config=config, cuts=time_cuts(events.times, config.split), workspace=workspace
        )

        core = {}
        if config.cleaning.has_core:
            progress("finding users and items with too few events")
            core = {"outside_core": find_core(events.partitions, job, engine)}

        progress("learning vocabularies and statistics")
        learnt = learn_from_events(events.partitions, job, engine)
        notes += [*check_joins(read, learnt, context), *odd_splits(learnt, schema)]
        catalogue = build_catalogue(schema, read.chunks("items"), learnt.values[schema.item_id])
        notes += odd_items(catalogue, read, config)
        vocabularies = write_vocabularies(schema, learnt.values, catalogue, dataset, target)
        notes += empty_vocabularies(schema, vocabularies)
        write_statistics(schema, learnt.reports, catalogue, target)
        _write_schema(schema, target)

        progress(f"writing {len(events.partitions)} shards a split")
        catalogue = write_item_lookup(schema, learnt.values[schema.item_id], catalogue, workspace, events.partitions)
        shard_job = ShardJob(**vars(job), dataset=target, num_partitions=len(events.partitions), seed=seed)
        written = write_shards(events.partitions, shard_job, engine)
        item_vocabulary = vocabularies[schema.item_id]
        candidate_shards = write_candidates(schema, catalogue, item_vocabulary, target, config.compression_level)
        shutil.rmtree(workspace.root)

        shards = {"shards": len(events.partitions), "candidate_shards": candidate_shards}
        counts = dict(read.counts) | core | dataset_counts(events.reports, learnt.reports, written, catalogue) | shards
        snapshot = take_snapshot(schema, learnt, catalogue)
        data = ReportData(
            schema=schema,
            profile=snapshot.profile,
            values=snapshot.values,
            vocabularies=vocabularies,
            counts=counts,
            findings=tuple(notes),
        )
        drift = describe_dataset(data, config, target=target, former=dataset)
        tokens = fingerprint({name: v.fingerprint() for name, v in vocabularies.items()})
        manifest = Manifest(
            kind="dataset",
            schema_fingerprint=schema.fingerprint(),
            inputs=inputs | {VOCABULARY: tokens},
            config=unstructure(config) | {"seed": seed},
            counts=counts,
            metrics=_metrics(job.cuts, drift, config),
            notes=tuple(notes),
            producer=producer_versions("apache-beam", "numpy", "pyarrow"),
            seconds=time.monotonic() - began,
        )
        manifest.write(target.manifest)
    dataset.refused_report.unlink(missing_ok=True)
    return StageResult(manifest=manifest, directory=dataset.root, nothing_to_do=False)


def is_prepared(schema: Schema, config: PipelineConfig, dataset: DatasetLayout, *, seed: int) -> bool:
    """Whether `prepare_dataset` has nothing to do; arguments and errors are as its own."""
    origins = [find_origin(table) for table in raw_tables(schema, config)]
    return finished_dataset(dataset, dataset_inputs(schema, config, origins, seed)) is not None


def _write_schema(schema: Schema, target: DatasetLayout) -> None:
    write_text_atomically(target.schema, json.dumps(unstructure(schema), indent=1, sort_keys=True) + "\n")


def _metrics(cuts: TimeCuts, drift: Drift | None, config: PipelineConfig) -> dict[str, Any]:
    metrics: dict[str, Any] = {"first_second": vars(cuts)} if config.split.kind == "global_time" else {}
    return metrics | ({"drift": unstructure(drift)} if drift else {})
