"""Third pass: counts values and measures numbers of training events. Later events only enter the data report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.engine import Engine, run_pass
from beam_pipelines.passes.item_times import partition_item_times
from beam_pipelines.passes.moments import Moments
from beam_pipelines.passes.partitions import Partition, PartitionJob, load_partition
from beam_pipelines.passes.profile_facts import PartitionFacts, facts_of
from beam_pipelines.passes.sorted_events import SortedEvents
from beam_pipelines.passes.splits import TRAIN
from beam_pipelines.sources.tables import EVENT_TYPE
from beam_pipelines.workspace import Workspace, read_arrow, write_arrow
from features.disk.layout import SPLITS
from features.schema import Schema

# Of each value: training events, positive training interactions, and events of the other splits, for the report only.
COUNT_NAMES = ("events", "positives", "validation", "test")
COUNT_TYPE = pa.schema(
    [("feature", pa.string()), ("value", pa.string()), *((name, pa.int64()) for name in COUNT_NAMES)]
)


@dataclass(frozen=True, kw_only=True)
class LearnReport:
    """Report of one partition; its counts of values are in an Arrow file."""

    events: Mapping[str, int]
    """Events by split."""
    positives: Mapping[str, int]
    """Positive interactions by split."""
    users: Mapping[str, int]
    """Users with an event, by split."""
    facts: PartitionFacts
    """Facts for the data report."""
    numeric: Mapping[str, Moments] = field(default_factory=dict)
    """Moments of the numeric query features over training events or training users."""


@dataclass(frozen=True)
class EventsLearnt:
    """The counts of all partitions."""

    reports: list[LearnReport]
    """One for each partition."""
    values: Mapping[str, pa.Table]
    """Counts of values by feature, in code point order of the values."""


def learn_from_events(partitions: Sequence[int], job: PartitionJob, engine: Engine) -> EventsLearnt:
    """Runs the pass over all partitions."""
    reports = run_pass("learn", partial(learn_partition, job=job), partitions, report=LearnReport, engine=engine)
    return EventsLearnt(reports, merged_counts(job.workspace, partitions))


def learn_partition(partition: int, *, job: PartitionJob) -> LearnReport:
    """Counts one partition, and stores the counts of its values as `COUNT_TYPE`."""
    found = load_partition(partition, job)
    events, positive, split = found.events, found.labels.positive, found.split
    training = split == TRAIN
    train_users = np.bincount(events.user_index[training], minlength=events.users.num_rows)
    write_arrow(job.workspace.counts(partition), _value_counts(found, job.schema))
    if job.schema.item_events:
        write_arrow(job.workspace.item_times_of(partition), partition_item_times(found, job.schema))
    return LearnReport(
        events={name: int((split == place).sum()) for place, name in enumerate(SPLITS)},
        positives={name: int((positive & (split == place)).sum()) for place, name in enumerate(SPLITS)},
        users={name: len(np.unique(events.user_index[split == place])) for place, name in enumerate(SPLITS)},
        facts=facts_of(found, job.schema),
        numeric=_moments(events, job.schema, training, train_users > 0),
    )


def _value_counts(found: Partition, schema: Schema) -> pa.Table:
    """Counts users, items and the values of query features with a vocabulary.

    Values without training events are included with 0, since the catalogue consists of all items.
    """
    events, split = found.events, found.split
    users = events.user_index
    in_split = [split == place for place in range(len(SPLITS))]
    of_events = [*in_split[:1], in_split[0] & found.labels.positive, *in_split[1:]]
    counts = [_counted(schema.item_id, events.table.column(schema.item_id), of_events)]
    # Ids of users count once per event, other user features once per user.
    sizes = [np.bincount(users[mask], minlength=events.users.num_rows) for mask in of_events]
    counts.append(_count_table(schema.user_id, events.users.column(schema.user_id).combine_chunks(), sizes))
    named = set(schema.vocabularies) - {schema.user_id, schema.item_id}
    for name in named & set(events.users.column_names):
        counts.append(_counted(name, events.users.column(name), [size > 0 for size in sizes]))
    for name in named & set(events.table.column_names):
        counts.append(_counted(name, events.table.column(name), of_events))
    kinds = schema.history_event_types
    if kinds is not None:
        counts.append(_counted(kinds.name, events.table.column(EVENT_TYPE), of_events))
    return pa.concat_tables(counts)


def _counted(name: str, values: pa.ChunkedArray, masks: Sequence[npt.NDArray[np.bool_]]) -> pa.Table:
    """How often each value occurs under each mask, for the values that occur at all."""
    encoded = values.combine_chunks()
    encoded = encoded if pa.types.is_dictionary(encoded.type) else encoded.dictionary_encode()
    codes, size = encoded.indices.to_numpy(zero_copy_only=False), len(encoded.dictionary)
    present = np.bincount(codes, minlength=size) > 0
    counts = [np.bincount(codes[mask], minlength=size)[present] for mask in masks]
    return _count_table(name, encoded.dictionary.filter(pa.array(present)), counts)


def _count_table(name: str, values: pa.Array, counts: Sequence[npt.NDArray[np.int64]]) -> pa.Table:
    columns = [pa.repeat(name, len(values)), values, *counts]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=COUNT_TYPE)


def _moments(
    events: SortedEvents, schema: Schema, training: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]
) -> dict[str, Moments]:
    moments = {}
    for feature in schema.query:
        if feature.statistics is not None:
            table, mask = (events.users, known) if feature.owner == "user" else (events.table, training)
            moments[feature.name] = Moments.of(table.column(feature.name).filter(pa.array(mask)).to_numpy())
    return moments


def merged_counts(workspace: Workspace, partitions: Iterable[int]) -> dict[str, pa.Table]:
    """Sums the counts of all partitions, by feature and in code point order of the values."""
    counts = pa.concat_tables([read_arrow(workspace.counts(partition)) for partition in partitions])
    sums = counts.group_by(["feature", "value"]).aggregate([(name, "sum") for name in COUNT_NAMES])
    # By the feature too: Arrow's threads leave the groups in any order, and two features may have the same value.
    sums = sums.rename_columns({f"{name}_sum": name for name in COUNT_NAMES})
    sums = sums.sort_by([("feature", "ascending"), ("value", "ascending")])
    names = sums.column("feature").unique().to_pylist()
    return {name: sums.filter(pc.equal(sums.column("feature"), name)).drop_columns(["feature"]) for name in names}
