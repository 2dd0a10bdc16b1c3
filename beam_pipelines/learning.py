"""Third pass: what the training events teach of values and numbers. Later events are counted, never learnt from."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.events import Events
from beam_pipelines.moments import Moments
from beam_pipelines.partitions import PartitionJob, load_partition
from beam_pipelines.splits import TRAIN
from beam_pipelines.workspace import Workspace, read_arrow, write_arrow
from features.layout import SPLITS
from features.records import vocabulary_features
from features.schema import Schema
from features.spec import NumericFeature

COUNT_TYPE = pa.schema(
    [("feature", pa.string()), ("value", pa.string()), ("events", pa.int64()), ("positives", pa.int64())]
)


@dataclass(frozen=True, kw_only=True)
class LearnReport:
    """What a partition counted; the counts of values are in its Arrow file."""

    events: Mapping[str, int]
    """Events by split."""
    positives: Mapping[str, int]
    """Positive interactions by split."""
    users: Mapping[str, int]
    """Users with an event, by split."""
    numeric: Mapping[str, Moments] = field(default_factory=dict)
    """Of the numeric query features, over training events or training users."""


def learn_partition(partition: int, *, job: PartitionJob) -> LearnReport:
    """Counts one partition and stores the counts of its values as `COUNT_TYPE`."""
    found = load_partition(partition, job)
    events, positive, split = found.events, found.labels.positive, found.split
    training = split == TRAIN
    train_users = np.bincount(events.user_index[training], minlength=events.users.num_rows)
    write_arrow(job.workspace.counts(partition), _value_counts(events, job.schema, training, positive, train_users))
    return LearnReport(
        events={name: int((split == place).sum()) for place, name in enumerate(SPLITS)},
        positives={name: int((positive & (split == place)).sum()) for place, name in enumerate(SPLITS)},
        users={name: len(np.unique(events.user_index[split == place])) for place, name in enumerate(SPLITS)},
        numeric=_moments(events, job.schema, training, train_users > 0),
    )


def _value_counts(
    events: Events,
    schema: Schema,
    training: npt.NDArray[np.bool_],
    positive: npt.NDArray[np.bool_],
    train_users: npt.NDArray[np.int64],
) -> pa.Table:
    """Counts of users, items and the values of query features with a vocabulary.

    Every item of the partition is there, those without training events with 0: the catalogue is made of them.
    """
    items = events.table.column(schema.item_id).combine_chunks()
    codes = items.indices.to_numpy()
    num_items = len(items.dictionary)
    present = np.bincount(codes, minlength=num_items) > 0
    in_training = np.bincount(codes[training], minlength=num_items)
    positives = np.bincount(codes[training & positive], minlength=num_items)
    counts = [
        _count_table(
            schema.item_id, items.dictionary.filter(pa.array(present)), in_training[present], positives[present]
        )
    ]
    known = train_users > 0
    users = events.users.filter(pa.array(known))
    counts.append(_count_table(schema.user_id, users.column(schema.user_id).combine_chunks(), train_users[known]))
    named = {feature.name for feature in vocabulary_features(schema)} - {schema.user_id, schema.item_id}
    for name in named & set(events.users.column_names):
        counts.append(_counted(name, users.column(name)))
    for name in named & set(events.table.column_names):
        counts.append(_counted(name, events.table.column(name).filter(pa.array(training))))
    return pa.concat_tables(counts)


def _counted(name: str, values: pa.ChunkedArray) -> pa.Table:
    pairs = values.combine_chunks().value_counts()
    return _count_table(name, pairs.field("values"), pairs.field("counts").to_numpy())


def _count_table(
    name: str, values: pa.Array, events: npt.NDArray[np.int64], positives: npt.NDArray[np.int64] | None = None
) -> pa.Table:
    columns = [pa.repeat(name, len(values)), values, events, events if positives is None else positives]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=COUNT_TYPE)


def _moments(
    events: Events, schema: Schema, training: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]
) -> dict[str, Moments]:
    moments = {}
    for feature in schema.query:
        if isinstance(feature, NumericFeature):
            table, mask = (events.users, known) if feature.table == "users" else (events.table, training)
            moments[feature.name] = Moments.of(table.column(feature.name).filter(pa.array(mask)).to_numpy())
    return moments


def merged_counts(workspace: Workspace, partitions: Iterable[int]) -> dict[str, pa.Table]:
    """The counts of all partitions by feature, in code point order of the values."""
    counts = pa.concat_tables([read_arrow(workspace.counts(partition)) for partition in partitions])
    sums = counts.group_by(["feature", "value"]).aggregate([("events", "sum"), ("positives", "sum")])
    sums = sums.rename_columns({"events_sum": "events", "positives_sum": "positives"}).sort_by("value")
    names = sums.column("feature").unique().to_pylist()
    return {name: sums.filter(pc.equal(sums.column("feature"), name)).drop_columns(["feature"]) for name in names}
