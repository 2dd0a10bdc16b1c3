"""A dataset's profile: the numbers that the report shows and that the next dataset is compared with."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from beam_pipelines.passes.catalogue import Catalogue
from beam_pipelines.passes.learning import COUNT_NAMES, COUNT_TYPE, LearnReport
from beam_pipelines.passes.moments import Moments, merged_quantiles
from beam_pipelines.passes.profile_facts import (
    Counts,
    PartitionFacts,
    Presence,
    is_hashed,
    is_missing,
    sum_counts,
    word_bins,
)
from beam_pipelines.passes.time_histogram import TimeHistogram
from features.disk.files import write_text_atomically
from features.disk.layout import SPLITS, DatasetLayout
from features.errors import InputError
from features.schema import Schema
from features.serialization import structure, unstructure
from features.spec.base import Feature
from features.spec.tasks import Task

_QUANTILES = 200
_MAX_INTERVALS = 200


@dataclass(frozen=True, kw_only=True)
class SplitProfile:
    """Profile of one split."""

    events: int
    """Number of events."""
    positives: int
    """Number of positive interactions."""
    users: int
    """Number of users with an event."""
    times: TimeHistogram
    """Histogram of the events' times."""
    first: int = 0
    """Second of the first event, since 1970-01-01 UTC; 0 if there is none."""
    last: int = 0
    """Second of the last event."""
    histories: Counts
    """Targets by the bucket of their history's length (`profile_facts.length_bucket`)."""


@dataclass(frozen=True, kw_only=True)
class FeatureProfile:
    """Profile of one feature over the events, users or items of all splits."""

    owner: str
    """What the feature describes: `event`, `user` or `item`."""
    kind: str
    """Kind of the feature."""
    rows: int
    """Number of events, users or items."""
    missing: int
    """Number of them without a value."""
    quantiles: tuple[float, ...] = ()
    """Values at 200 equal steps of rank, of a numeric feature."""
    words: Counts = ()
    """Of a text or a hashed feature: words or values by their hash (`profile_facts.word_bins`)."""


@dataclass(frozen=True, kw_only=True)
class DatasetProfile:
    """A dataset in numbers; how often each value occurs is in `values.parquet` beside it."""

    splits: Mapping[str, SplitProfile]
    """By name."""
    users: Counts
    """Users by the bucket of their number of positive interactions."""
    features: Mapping[str, FeatureProfile]
    """By name; and the tasks, which are what ranking predicts."""

    def write(self, path: Path) -> None:
        """Writes the profile as JSON."""
        write_text_atomically(path, json.dumps(unstructure(self), sort_keys=True) + "\n")

    @classmethod
    def read(cls, path: Path) -> "DatasetProfile":
        """Reads what `write` wrote.

        Raises:
            InputError: the file is missing or of another form.
        """
        try:
            return structure(json.loads(path.read_text("utf-8")), cls, path.name)
        except (OSError, ValueError) as error:
            raise InputError(f"profile {path}: cannot be read ({error}); run `recstack prepare`") from error


def profile_dataset(schema: Schema, learnt: Sequence[LearnReport], catalogue: Catalogue) -> DatasetProfile:
    """Merges the facts of the partitions, and adds those of the items."""
    facts = [report.facts for report in learnt]
    splits: dict[str, SplitProfile] = {
        name: SplitProfile(
            events=sum(report.events[name] for report in learnt),
            positives=sum(report.positives[name] for report in learnt),
            users=sum(report.users[name] for report in learnt),
            times=TimeHistogram.merged(part.times[name] for part in facts).coarsened(_MAX_INTERVALS),
            first=min((part.spans[name][0] for part in facts if name in part.spans), default=0),
            last=max((part.spans[name][1] for part in facts if name in part.spans), default=0),
            histories=sum_counts(part.histories[name] for part in facts),
        )
        for name in SPLITS
    }
    # Histories are made of other columns, so they have no facts of their own.
    read = [feature for feature in schema.query if feature.name in facts[0].presence]
    features = {feature.name: _query_feature(feature, schema, facts) for feature in read}
    features |= {feature.name: _candidate_feature(feature, catalogue) for feature in schema.candidate}
    events = sum(split.events for split in splits.values())
    features |= {task.name: _label(task, facts, events) for task in schema.task}
    return DatasetProfile(splits=splits, users=sum_counts(part.users for part in facts), features=features)


def _query_feature(feature: Feature, schema: Schema, facts: Sequence[PartitionFacts]) -> FeatureProfile:
    presence = [part.presence[feature.name] for part in facts]
    is_number = feature.statistics is not None
    return FeatureProfile(
        owner="user" if feature in schema.user_features else "event",
        kind=feature.kind,
        rows=_total(presence).rows,
        missing=_total(presence).missing,
        quantiles=merged_quantiles([part.numbers[feature.name] for part in facts], _QUANTILES) if is_number else (),
        words=sum_counts(part.words[feature.name] for part in facts) if is_hashed(feature) else (),
    )


def _label(task: Task, facts: Sequence[PartitionFacts], events: int) -> FeatureProfile:
    pieces = [part.numbers[task.name] for part in facts]
    return FeatureProfile(
        owner="event",
        kind="label",
        rows=events,
        missing=sum(piece.missing for piece in pieces),
        quantiles=merged_quantiles(pieces, _QUANTILES),
    )


def _total(parts: Iterable[Presence]) -> Presence:
    several = list(parts)
    return Presence(rows=sum(part.rows for part in several), missing=sum(part.missing for part in several))


def _candidate_feature(feature: Feature, catalogue: Catalogue) -> FeatureProfile:
    values = catalogue.table.column(feature.name)
    is_number = feature.statistics is not None
    return FeatureProfile(
        owner="item",
        kind=feature.kind,
        rows=len(values),
        missing=int(pc.sum(is_missing(values)).as_py() or 0),
        quantiles=merged_quantiles([Moments.of(values.to_numpy())], _QUANTILES) if is_number else (),
        words=word_bins(values, feature) if is_hashed(feature) else (),
    )


def value_counts(schema: Schema, seen: Mapping[str, pa.Table], catalogue: Catalogue) -> pa.Table:
    """How often each value of a feature with a vocabulary occurs, as `COUNT_TYPE`, in order of feature and value.

    Values of query features are counted in events by split, those of the users table in users. Values of candidate
    features are counted in items, in the column of training events. Items without an event have zeros.
    """
    tables = [_named(name, counts) for name, counts in sorted(seen.items()) if name != schema.item_id]
    items = catalogue.table.column(schema.item_id).combine_chunks()
    of_events = seen[schema.item_id]
    place = pc.index_in(items, of_events.column("value").combine_chunks())
    counts = {name: of_events.column(name).combine_chunks().take(place).fill_null(0) for name in COUNT_NAMES}
    tables.append(_named(schema.item_id, pa.table({"value": items, **counts})))
    for feature in schema.candidate:
        if feature.vocabulary is not None and feature.name != schema.item_id:
            tables.append(_item_values(feature, catalogue))
    return pa.concat_tables(tables).sort_by([("feature", "ascending"), ("value", "ascending")])


def _item_values(feature: Feature, catalogue: Catalogue) -> pa.Table:
    values = catalogue.table.column(feature.name).combine_chunks()
    pairs = (values.flatten() if feature.is_list else values).value_counts()
    zeros = pa.repeat(pa.scalar(0, pa.int64()), len(pairs))
    counts = {name: pairs.field("counts") if name == "events" else zeros for name in COUNT_NAMES}
    return _named(feature.name, pa.table({"value": pairs.field("values"), **counts}))


def _named(name: str, counts: pa.Table) -> pa.Table:
    return counts.add_column(0, "feature", pa.repeat(name, counts.num_rows)).select(COUNT_TYPE.names).cast(COUNT_TYPE)


def of_feature(values: pa.Table, name: str) -> pa.Table:
    """The counts of one feature's values."""
    return values.filter(pc.equal(values.column("feature"), name))


def events_of_all_splits(values: pa.Table) -> pa.ChunkedArray:
    """How often each value occurs in all."""
    return pc.add(values.column("events"), pc.add(values.column("validation"), values.column("test")))


def write_values(values: pa.Table, dataset: DatasetLayout) -> None:
    """Writes the counts of values."""
    encoded = values.set_column(0, "feature", values.column("feature").dictionary_encode())
    pq.write_table(encoded, dataset.values, compression="zstd")


def read_values(dataset: DatasetLayout) -> pa.Table:
    """Reads the counts of values.

    Raises:
        InputError: they cannot be read.
    """
    try:
        table = pq.read_table(dataset.values)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{dataset.values}: cannot be read ({error}); run `recstack prepare`") from error
    return table.set_column(0, "feature", table.column("feature").cast(pa.string()))
