"""The checkerboard as a small dataset directory, written by hand as `features.records.contents` describes it."""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.disk.manifest import Manifest
from features.disk.shards import shard_name
from features.encoding.statistics import Statistics
from features.encoding.vocabulary import Vocabulary
from features.schema import Schema
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature
from features.spec.multi_valued import MultiValuedFeature
from features.spec.time import TimestampFeature
from tests.checkerboard import liked_by

NUM_USERS = 16
NUM_ITEMS = 12
SCHEMA = Schema(
    query=(
        IdFeature(name="user_id"),
        HistoryFeature(name="history", length=4),
        TimestampFeature(name="timestamp", parts=("day_of_week",)),
    ),
    candidate=(IdFeature(name="item_id"), MultiValuedFeature(name="parity", max_values=3)),
)


def course(user: int) -> list[int]:
    """The items that the user likes, in a cycle that starts elsewhere for each."""
    liked = liked_by(user, NUM_ITEMS)
    start = 2 * (user // 2) % len(liked)
    return liked[start:] + liked[:start]


def write_small_dataset(root: Path) -> DatasetLayout:
    """Each of the 16 users takes the items of its course; the last two are held out."""
    layout = DatasetLayout(root)
    frequency = dict.fromkeys(range(NUM_ITEMS), 0)
    train, validation, test, ranking_train, ranking_validation = [], [], [], [], []
    for user in range(NUM_USERS):
        own = course(user)
        times = [1000 * (step + 1) for step in range(6)]
        for item in own[:4]:
            frequency[item] += 1
        train.append(record(user, own[:4], times[:4]))
        validation.append(record(user, own[:5], times[:5], num_context=4))
        test.append(record(user, own, times, num_context=5))
        other = [(item + 1) % NUM_ITEMS for item in own]
        mixed, labels = [*own[:4], *other[:4]], [1.0] * 4 + [0.0] * 4
        ranking_train.append(record(user, mixed, list(range(1, 9)), labels=labels))
        mixed, labels = [*mixed, own[4], other[4]], [*labels, 1.0, 0.0]
        ranking_validation.append(record(user, mixed, list(range(1, 11)), labels=labels, num_context=8))
    write_records(layout.interactions("train"), train)
    write_records(layout.interactions("validation"), validation)
    write_records(layout.interactions("test"), test)
    write_records(layout.ranking("train"), ranking_train)
    write_records(layout.ranking("validation"), ranking_validation)
    write_learnt_parts(layout, frequency)
    return layout


def write_learnt_parts(layout: DatasetLayout, frequency: dict[int, int]) -> None:
    layout.vocabulary("item_id").parent.mkdir()
    Vocabulary(tuple(f"i{n}" for n in range(NUM_ITEMS))).write(layout.vocabulary("item_id"))
    Vocabulary(tuple(f"u{n}" for n in range(NUM_USERS))).write(layout.vocabulary("user_id"))
    Vocabulary(("even", "odd")).write(layout.vocabulary("parity"))
    candidates = [
        example(item_id=[f"i{n}"], parity=["odd" if n % 2 else "even"], train_frequency=[frequency[n]])
        for n in range(NUM_ITEMS)
    ]
    write_records(layout.candidates, candidates)
    Statistics(num_users=NUM_USERS, num_items=NUM_ITEMS, num_interactions=4 * NUM_USERS).write(layout.statistics)
    inputs = {"made": "by hand"}
    Manifest(kind="dataset", schema_fingerprint=SCHEMA.fingerprint(), inputs=inputs).write(layout.manifest)


def record(
    user: int,
    items: Sequence[int],
    times: Sequence[int],
    *,
    labels: Sequence[float] | None = None,
    num_context: int = 0,
    sampled_with: float = 1.0,
) -> bytes:
    """One interaction record; a ranking record if it has labels, whose positives alone enter histories.

    Negatives are logged, or sampled with the given probability.
    """
    extra = {} if labels is None else {"sampling_probability": [1.0 if label else sampled_with for label in labels]}
    return example(
        user_id=[f"u{user}"],
        num_context=[num_context],
        item_id=[f"i{item}" for item in items],
        timestamp=list(times),
        label=[1.0] * len(items) if labels is None else list(labels),
        weight=[1.0] * len(items),
        in_history=[1] * len(items) if labels is None else [int(label) for label in labels],
        **extra,
    )


def example(**columns: list) -> bytes:
    return tf.train.Example(
        features=tf.train.Features(feature={name: _feature(values) for name, values in columns.items()})
    ).SerializeToString()


def _feature(values: list) -> tf.train.Feature:
    if isinstance(values[0], str):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))
    if isinstance(values[0], int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def write_records(directory: Path, records: list[bytes]) -> None:
    directory.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(directory / shard_name(0, 1)), "GZIP") as writer:
        for serialized in records:
            writer.write(serialized)
