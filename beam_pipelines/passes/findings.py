"""Warnings about a new dataset, printed after `prepare`, or the reason why it fails."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa

from beam_pipelines.config import PipelineConfig
from beam_pipelines.config.source import TableName
from beam_pipelines.passes.catalogue import Catalogue
from beam_pipelines.passes.context import PassContext
from beam_pipelines.passes.ingest import TablesRead
from beam_pipelines.passes.learning import EventsLearnt
from beam_pipelines.passes.profile_facts import sum_counts
from beam_pipelines.passes.sorting import EventsSorted
from beam_pipelines.passes.time_checks import TimeSummary, implausible_times, may_be_cycle, moment
from beam_pipelines.sources.joins import JoinCoverage, join_coverage
from beam_pipelines.sources.ratings import not_rated
from beam_pipelines.workspace import read_arrow
from features.encoding.vocabulary import Vocabulary
from features.errors import InputError
from features.schema import Schema

_FEW = 0.1


def check_times(read: TablesRead, config: PipelineConfig) -> list[str]:
    """What is odd about the times, if the configuration lets the run go on.

    Raises:
        InputError: many times are implausible, or all are the same and events are to be split by time.
    """
    times = TimeSummary.merged(report.times for report in read.reports)
    splits_time = config.split.kind == "global_time" and config.split.validation + config.split.test > 0
    if times.total > 1 and times.minimum == times.maximum and splits_time:
        raise InputError(
            f"table interactions: all {times.total:,} times are {moment(times.minimum)}, so events cannot be split by "
            "time; name another column in pipeline.interactions.columns, or set pipeline.split.kind to 'leave_last_out'"
        )
    found = [f"table interactions: {text}" for text in implausible_times(times)]
    if found and config.interactions.implausible_times == "refuse":
        raise InputError(
            f'{"; ".join(found)}; mend the column, name another one, or set implausible_times = "keep" in '
            "pipeline.interactions"
        )
    return found


def check_order(read: TablesRead, events: EventsSorted, config: PipelineConfig) -> list[str]:
    """What is odd about times that are an order, if the configuration lets the run go on.

    Raises:
        InputError: they are numbers up to 31 that come again within a user: hours or days, which order nothing.
    """
    times = TimeSummary.merged(report.times for report in read.reports)
    shared = sum(report.shared_moments for report in events.reports)
    if not may_be_cycle(times, shared):
        return []
    text = (
        f"table interactions: the times are numbers from {times.minimum} to {times.maximum}, and {shared:,} of "
        f"{times.total:,} events share theirs with another event of the user: hours or days of a week order no events, "
        "numbers of a user's orders do"
    )
    if config.interactions.implausible_times == "refuse":
        raise InputError(f'{text}; name another column, or set implausible_times = "keep" in pipeline.interactions')
    return [text]


def check_joins(read: TablesRead, learnt: EventsLearnt, context: PassContext) -> list[str]:
    """How many ids of the log the other tables have.

    Raises:
        InputError: a table has fewer of them than its `min_join_coverage`.
    """
    schema, config = context.schema, context.config
    joins: tuple[tuple[TableName, str], ...] = (("items", schema.item_id), ("users", schema.user_id))
    found = []
    for name, key in joins:
        if not read.chunks(name):
            continue
        coverage = join_coverage(name, learnt.values[key].column("value").combine_chunks(), _ids(read, name, key))
        least = getattr(config, name).min_join_coverage
        if coverage.share < least:
            raise InputError(_too_few(coverage, least))
        found.append(str(coverage))
    return found


def _ids(read: TablesRead, table: TableName, key: str) -> pa.StringArray:
    pieces = [read_arrow(Path(chunk.path)).column(key).combine_chunks() for chunk in read.chunks(table)]
    return pa.concat_arrays(pieces).unique()


def _too_few(coverage: JoinCoverage, least: float) -> str:
    why = (
        f"{coverage.cause} keeps them apart: set {coverage.mend}"
        if coverage.cause
        else (f"the key may be another column: name it in pipeline.{coverage.table}.columns")
    )
    return f"table {coverage.table}: {coverage}; at least {least:.0%} are expected (min_join_coverage); {why}"


def odd_ratings(read: TablesRead, config: PipelineConfig) -> Iterator[str]:
    """A rating that may stand for no rating."""
    counts: Counter[str] = Counter()
    for report in read.reports:
        counts.update(report.ratings)
    lone = not_rated(counts)
    if lone is not None:
        yield (
            f"{config.label.rating_column} {lone:g} ({counts[f'{lone:g}']:,} events) lies outside the scale of the "
            "other ratings: it may mean 'not rated'; remove it from the log or write it as a missing value"
        )


def odd_items(catalogue: Catalogue, read: TablesRead, config: PipelineConfig) -> Iterator[str]:
    """An items table with several rows per item, such as one row per property."""
    rows = sum(report.rows for report in read.reports if report.table == "items")
    is_log = config.items.path == config.interactions.path
    if catalogue.duplicates > _FEW * rows and not is_log:
        yield (
            f"the items table has {catalogue.duplicates:,} rows whose item has a later row, and only the last row of "
            "an item counts: if each row holds one property, turn the properties into columns first"
        )


def odd_splits(learnt: EventsLearnt, schema: Schema) -> Iterator[str]:
    """Splits without targets, and logs of which little can be learnt."""
    users = sum_counts(report.facts.users for report in learnt.reports)
    items = sum(1 for n in learnt.values[schema.item_id].column("positives").to_pylist() if n)
    if len(users) <= 2 and sum(users) > 1:
        yield "every user has one event at most: there are no histories, and nothing tells users apart"
    if sum(users) == 1:
        yield "all events are of one user"
    if items == 1:
        yield "all training events are of one item"
    for split in ("train", "validation", "test"):
        if not sum(report.positives[split] for report in learnt.reports):
            yield f"the {split} split has no targets: {_NO_TARGETS[split]}"


_NO_TARGETS = {
    "train": "nothing can be learnt; look at pipeline.split and pipeline.label",
    "validation": "training cannot stop early",
    "test": "`recstack evaluate` has nothing to measure; look at pipeline.split",
}


def empty_vocabularies(schema: Schema, vocabularies: Mapping[str, Vocabulary]) -> Iterator[str]:
    """Features none of whose values is known."""
    for name, options in schema.vocabularies.items():
        if not vocabularies[name].tokens:
            least = f"{options.min_count} times or more (min_count)" if options.min_count > 1 else "in training"
            yield f"feature {name}: no value occurs {least}, so the models cannot tell its values apart"
