"""`recstack prepare`: raw tables to a dataset directory."""

import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import DriftConfig, PipelineConfig
from beam_pipelines.passes.catalogue import (
    Catalogue,
    build_catalogue,
    item_statistics,
    item_value_counts,
    write_candidates,
)
from beam_pipelines.passes.engine import Engine, run_pass
from beam_pipelines.passes.ingest import NUM_BUCKETS, Chunk, IngestReport, assign_buckets, ingest, ingest_tasks
from beam_pipelines.passes.item_times import ItemTimes, write_item_times
from beam_pipelines.passes.learning import LearnReport, learn_partition, merged_counts
from beam_pipelines.passes.minimum_counts import find_core
from beam_pipelines.passes.moments import numeric_statistics
from beam_pipelines.passes.partitions import PartitionJob
from beam_pipelines.passes.shards import ShardJob, ShardReport, write_partition
from beam_pipelines.passes.sorted_events import SortReport, SortTask, sort_partition
from beam_pipelines.passes.splits import TimeCuts, time_cuts
from beam_pipelines.passes.time_histogram import TimeHistogram
from beam_pipelines.passes.workspace import Workspace, write_arrow
from beam_pipelines.profile.dataset import profile_dataset, value_counts, write_values
from beam_pipelines.profile.drift import DatasetSnapshot, Drift, former_dataset, measure_drift
from beam_pipelines.profile.report.data import ReportData
from beam_pipelines.sources.files import SourceFile, files_fingerprint
from beam_pipelines.sources.table_origin import find_origin, origin_units
from beam_pipelines.sources.tables import Table, TableName, raw_tables
from features.disk.files import exclusive, make_directory, staged_directory, write_text_atomically
from features.disk.layout import SPLITS, DatasetLayout
from features.disk.manifest import FORMAT_VERSION, Manifest, producer_versions, read_manifest
from features.encoding.statistics import Statistics
from features.encoding.vocabulary import Vocabulary
from features.errors import InputError, RecstackError
from features.schema import Schema, fingerprint
from features.serialization import unstructure

_EVENTS_PER_SHARD = 500_000
_LEAST_SHARDS = 4
_VOCABULARY = "vocabulary"
_REPORT = "beam_pipelines.profile.report.page"


def prepare_dataset(
    schema: Schema,
    config: PipelineConfig,
    dataset: DatasetLayout,
    *,
    seed: int,
    progress: Callable[[str], None] | None = None,
) -> tuple[Manifest, bool]:
    """Makes the dataset, or finds that it is there already.

    Nothing is seen at `dataset` before all of it is written. A dataset that is there already is replaced, and its
    vocabularies grow: old tokens keep their place.

    Args:
        schema: features and roles.
        config: sources and rules.
        dataset: where the dataset goes.
        seed: of the sampled negatives.
        progress: told in one line what is being done.

    Returns:
        The manifest, and whether there was nothing to do: a finished dataset of the same inputs exists.

    Raises:
        InputError: a table, a file or the directory is not as it must be, or another process is preparing there.
        RecstackError: the work failed.
    """
    began = time.monotonic()
    tell = progress or (lambda _: None)
    tables = raw_tables(schema, config)
    files = {table.name: find_origin(table) for table in tables}
    inputs = _inputs(schema, config, files, seed)
    finished = _finished(dataset, inputs)
    if finished is not None:
        return finished, True
    _require_replaceable(dataset)
    _import_meanwhile(_REPORT if config.report else "")
    with exclusive(dataset.root.parent, "recstack prepare"), staged_directory(dataset.root) as staging:
        target = DatasetLayout(staging)
        workspace = _make_directories(target)
        engine = engine_of(config, workspace)
        units = [unit for table in tables for unit in origin_units(table, files[table.name], engine)]
        tell(f"reading {sum(len(found) for found in files.values())} files")
        read = run_pass(
            "read",
            partial(ingest, tables=tables, workspace=workspace, rejects=target.rejects),
            ingest_tasks(units),
            report=IngestReport,
            engine=engine,
        )
        counts = check_rejects(read, tables, config)
        chunks = {name: [c for r in read if r.table == name for c in r.chunks] for name in ("interactions", "users")}
        partitions = _partitions(chunks["interactions"], config)
        tell(f"sorting {counts['interactions_read']:,} events")
        sorted_reports = run_pass(
            "sort",
            partial(
                sort_partition,
                schema=schema,
                config=config,
                events=chunks["interactions"],
                users=chunks["users"],
                workspace=workspace,
            ),
            partitions,
            report=SortReport,
            engine=engine,
        )
        numbers = range(len(partitions))
        times = TimeHistogram.merged(TimeHistogram.read(workspace.times(number)) for number in numbers)
        cuts = time_cuts(times, config.split)
        job = PartitionJob(schema=schema, config=config, cuts=cuts, workspace=workspace)
        if config.cleaning.has_core:
            tell("finding users and items with too few events")
            counts["outside_core"] = find_core(numbers, job, engine)
        tell("learning vocabularies and statistics")
        learnt = run_pass(
            "learn",
            partial(learn_partition, job=job),
            numbers,
            report=LearnReport,
            engine=engine,
        )
        seen = merged_counts(workspace, numbers)
        item_chunks = [c for r in read if r.table == "items" for c in r.chunks]
        catalogue = build_catalogue(schema, item_chunks, seen[schema.item_id])
        vocabularies = _write_vocabularies(schema, seen, catalogue, dataset, target)
        _write_statistics(schema, learnt, catalogue, target)
        tell(f"writing {len(partitions)} shards a split")
        catalogue = _write_items_of_events(schema, seen[schema.item_id], catalogue, workspace, numbers)
        job = ShardJob(
            schema=schema,
            config=config,
            cuts=cuts,
            dataset=target,
            workspace=workspace,
            num_partitions=len(partitions),
            seed=seed,
        )
        written = run_pass("write", partial(write_partition, job=job), numbers, report=ShardReport, engine=engine)
        candidate_shards = write_candidates(
            schema, catalogue, vocabularies[schema.item_id], target, config.compression_level
        )
        shutil.rmtree(workspace.root)
        shards = {"shards": len(partitions), "candidate_shards": candidate_shards}
        counts |= _counts(sorted_reports, learnt, written, catalogue) | shards
        tokens = fingerprint({name: v.fingerprint() for name, v in vocabularies.items()})
        described = DatasetSnapshot(profile_dataset(schema, learnt, catalogue), value_counts(schema, seen, catalogue))
        drift = _describe(described, dataset, vocabularies, counts, job=job)
        manifest = Manifest(
            kind="dataset",
            schema_fingerprint=schema.fingerprint(),
            inputs=inputs | {_VOCABULARY: tokens},
            config=unstructure(config) | {"seed": seed},
            counts=counts,
            metrics=_metrics(cuts, drift, config),
            producer=producer_versions("apache-beam", "numpy", "pyarrow"),
            seconds=time.monotonic() - began,
        )
        manifest.write(target.manifest)
    dataset.refused_report.unlink(missing_ok=True)
    return manifest, False


def _import_meanwhile(module: str) -> None:
    """Matplotlib takes a while to import, and reading a single file leaves the other cores idle."""
    if module:
        threading.Thread(target=import_module, args=(module,), daemon=True).start()


def engine_of(config: PipelineConfig, workspace: Workspace) -> Engine:
    """What runs the passes, as configured."""
    return Engine(
        workspace=workspace,
        num_workers=config.num_workers,
        runner=config.runner,
        runner_options=config.runner_options,
    )


def _metrics(cuts: TimeCuts, drift: Drift | None, config: PipelineConfig) -> dict[str, Any]:
    metrics: dict[str, Any] = {"first_second": vars(cuts)} if config.split.kind == "global_time" else {}
    return metrics | ({"drift": unstructure(drift)} if drift else {})


def _inputs(
    schema: Schema, config: PipelineConfig, files: Mapping[TableName, list[SourceFile]], seed: int
) -> dict[str, str]:
    return {
        "schema": schema.fingerprint(),
        # Who does the work does not show in the result, nor do the limits of what was published.
        "config": fingerprint(
            unstructure(replace(config, num_workers=0, runner="local", runner_options=(), drift=DriftConfig()))
        ),
        "seed": str(seed),
        "format_version": str(FORMAT_VERSION),
    } | {name: files_fingerprint(found) for name, found in files.items()}


def _finished(dataset: DatasetLayout, inputs: Mapping[str, str]) -> Manifest | None:
    """The manifest of a dataset of these inputs; which tokens the vocabularies had grown from does not matter."""
    try:
        manifest = read_manifest(dataset.manifest, "dataset")
    except InputError:
        return None
    former = {name: value for name, value in manifest.inputs.items() if name != _VOCABULARY}
    return manifest if former == dict(inputs) else None


def _require_replaceable(dataset: DatasetLayout) -> None:
    """Nothing but a dataset, damaged or not, makes room for the new one."""
    root = dataset.root
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    if not any(path.exists() for path in (dataset.manifest, dataset.schema, dataset.statistics)):
        raise InputError(
            f"{root}: is in the way and was not made by recstack; move it elsewhere or choose another `workdir`"
        )


def _make_directories(target: DatasetLayout) -> Workspace:
    directories = [target.rejects, target.candidates, target.vocabulary("any").parent]
    directories += [path(split) for path in (target.interactions, target.ranking) for split in SPLITS]
    workspace = Workspace(target.root / "workspace")
    for directory in (*directories, workspace.root):
        make_directory(directory)
    return workspace


def check_rejects(read: Sequence[IngestReport], tables: Sequence[Table], config: PipelineConfig) -> dict[str, int]:
    """Sums up what was read and refuses the run if too much of a table was rejected."""
    counts: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {table.name: Counter() for table in tables}
    for report in read:
        counts[f"{report.table}_read"] += report.rows
        counts[f"{report.table}_rejected"] += sum(report.rejected.values())
        reasons[report.table].update(report.rejected)
    for table, rejected in reasons.items():
        total, refused = counts[f"{table}_read"], sum(rejected.values())
        if total == 0:
            raise InputError(f"table {table}: the files hold no rows")
        if refused > config.max_reject_ratio * total or refused == total:
            worst = ", ".join(f"{reason} ({n:,} rows)" for reason, n in rejected.most_common(3))
            example = next(r.example for r in read if r.table == table and r.example)
            raise InputError(
                f"table {table}: {refused:,} of {total:,} rows are rejected, more than pipeline.max_reject_ratio = "
                f"{config.max_reject_ratio:g}: {worst}; the first is {example}; mend the table, its columns or formats "
                "in the configuration, or raise the ratio"
            )
    told = {f"rejected: {table}: {reason}": n for table, by in reasons.items() for reason, n in sorted(by.items())}
    return dict(counts) | told


def _partitions(chunks: Sequence[Chunk], config: PipelineConfig) -> list[SortTask]:
    bucket_rows = np.sum([chunk.bucket_rows for chunk in chunks], axis=0).astype(np.int64)
    wanted = config.num_shards or max(_LEAST_SHARDS, -(-int(bucket_rows.sum()) // _EVENTS_PER_SHARD))
    assigned = assign_buckets(bucket_rows, min(wanted, NUM_BUCKETS))
    return [SortTask(partition=number, buckets=tuple(buckets)) for number, buckets in enumerate(assigned)]


def _write_vocabularies(
    schema: Schema, seen: Mapping[str, pa.Table], catalogue: Catalogue, former: DatasetLayout, target: DatasetLayout
) -> dict[str, Vocabulary]:
    """Vocabularies of the training data, appended to those of the dataset that was here before."""
    items = item_value_counts(schema, catalogue)
    vocabularies = {}
    for name, options in schema.vocabularies.items():
        counts = items[name] if name in items else _training_counts(seen.get(name))
        start = Vocabulary((), options.oov_buckets)
        if former.manifest.exists() and former.vocabulary(name).exists():
            start = Vocabulary.read(former.vocabulary(name), options.oov_buckets)
        vocabularies[name] = start.grow(counts, options.min_count)
        vocabularies[name].write(target.vocabulary(name))
    return vocabularies


def _training_counts(counts: pa.Table | None) -> dict[str, int]:
    if counts is None:
        return {}
    trained = counts.filter(pc.greater(counts.column("events"), 0))
    return dict(zip(trained.column("value").to_pylist(), trained.column("events").to_pylist(), strict=True))


def _write_statistics(
    schema: Schema, learnt: Sequence[LearnReport], catalogue: Catalogue, target: DatasetLayout
) -> None:
    query = {
        feature.name: numeric_statistics(
            [report.numeric[feature.name] for report in learnt],
            feature.statistics.num_buckets,
        )
        for feature in schema.query
        if feature.statistics is not None
    }
    Statistics(
        num_users=sum(report.users["train"] for report in learnt),
        num_items=catalogue.table.num_rows,
        num_interactions=sum(report.positives["train"] for report in learnt),
        numeric=query | item_statistics(schema, catalogue),
    ).write(target.statistics)
    write_text_atomically(target.schema, _json(schema))


def _describe(
    described: DatasetSnapshot,
    former: DatasetLayout,
    vocabularies: Mapping[str, Vocabulary],
    counts: Mapping[str, int],
    *,
    job: ShardJob,
) -> Drift | None:
    """Writes what the dataset looks like, for the next run and for a person, and refuses one that has drifted too far.

    Raises:
        RecstackError: it differs from the former dataset by more than a limit of the configuration.
    """
    described.profile.write(job.dataset.profile)
    write_values(described.values, job.dataset)
    before = former_dataset(former)
    drift = measure_drift(before, described, job.schema, job.config.drift) if before else None
    refused = bool(drift and drift.exceeded)
    if job.config.report:
        data = ReportData(
            schema=job.schema,
            profile=described.profile,
            values=described.values,
            vocabularies=vocabularies,
            counts=counts,
            drift=drift,
        )
        write_text_atomically(
            former.refused_report if refused else job.dataset.report, import_module(_REPORT).render(data)
        )
    if drift and refused:
        where = f"; see {former.refused_report}" if job.config.report else ""
        raise RecstackError(
            f"the new dataset has drifted too far from {former.root}, which stays: {'; '.join(drift.exceeded)}{where}; "
            "mend the data, or raise the limit under pipeline.drift"
        )
    return drift


def _write_items_of_events(
    schema: Schema, seen: pa.Table, catalogue: Catalogue, workspace: Workspace, partitions: Sequence[int]
) -> Catalogue:
    """Tells the workers which items negatives are drawn from, and when each item was interacted with if it matters.

    Returns:
        The catalogue, with all interactions of each item if the schema asks for them.
    """
    write_arrow(workspace.train_items, seen.filter(pc.greater(seen.column("events"), 0)))
    if not schema.item_events:
        return catalogue
    write_item_times(workspace, partitions)
    ids = catalogue.table.column(schema.item_id).combine_chunks()
    return replace(catalogue, item_events=ItemTimes.read(workspace).totals(ids))


def _counts(
    sorted_reports: Sequence[SortReport],
    learnt: Sequence[LearnReport],
    written: Sequence[ShardReport],
    catalogue: Catalogue,
) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for report in sorted_reports:
        counts["interactions_duplicates"] += report.duplicates
        counts["near_duplicates"] += report.near_duplicates
        counts["bot_events"] += report.bot_events
        counts["users_duplicates"] += report.user_duplicates
    for learn in learnt:
        for split in SPLITS:
            counts[f"events_{split}"] += learn.events[split]
            counts[f"positives_{split}"] += learn.positives[split]
            counts[f"users_{split}"] += learn.users[split]
    for shard in written:
        counts.update({f"records: {directory}": n for directory, n in shard.records.items()})
        counts.update({f"targets: {directory}": n for directory, n in shard.targets.items()})
    return dict(counts) | {"candidates": catalogue.table.num_rows, "items_duplicates": catalogue.duplicates}


def _json(schema: Schema) -> str:
    return json.dumps(unstructure(schema), indent=1, sort_keys=True) + "\n"
