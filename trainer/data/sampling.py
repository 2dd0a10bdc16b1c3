"""A sample of a split's users, drawn while its shards are read, so that no more than the sample is in memory."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from features.records.contents import RecordKind
from features.records.parse import shard_files
from trainer.data.events import LENGTH, Columns, EncodedEvents, assemble_events, encoded_batches, is_of_records

_KEY = "key of the sample"


def sample_events(
    directory: Path,
    encoder: SchemaEncoder,
    item_row: tf.lookup.StaticHashTable,
    *,
    records: RecordKind,
    num_records: int,
    seed: int,
) -> EncodedEvents:
    """All events of some records with targets, each such record as likely as any other.

    Args:
        directory: the split's shards.
        encoder: Encoder of the dataset.
        item_row: item id to row of the catalogue, -1 for ids that are not there.
        records: what the shards hold.
        num_records: Largest number of records.
        seed: Seed of the sample.

    Raises:
        InputError: A shard is missing or damaged.
    """
    generator = np.random.default_rng(seed)
    sample: Columns = {}
    for batch in encoded_batches(directory, shard_files(directory), encoder, item_row, records=records):
        keys = generator.random(len(batch[LENGTH]))
        events = assemble_events(batch, encoder.schema)
        is_asked = np.isin(np.arange(events.num_records), events.record_of_event()[events.targets()])
        # The records with the smallest keys are the sample of all that were read so far.
        bound = sample[_KEY].max() if sample and len(sample[_KEY]) >= num_records else np.inf
        found = _select(batch, is_asked & (keys < bound)) | {_KEY: keys[is_asked & (keys < bound)]}
        joined = {name: np.concatenate([sample[name], found[name]]) for name in found} if sample else found
        is_kept = np.zeros(len(joined[_KEY]), bool)
        is_kept[np.argsort(joined[_KEY])[:num_records]] = True
        sample = _select(joined, is_kept)
    return assemble_events(sample, encoder.schema)


def _select(columns: Columns, is_kept: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of some records, `is_kept [records] bool`."""
    of_event = np.repeat(is_kept, columns[LENGTH].astype(np.int64))
    return {name: values[is_kept if _is_of_records(name) else of_event] for name, values in columns.items()}


def _is_of_records(name: str) -> bool:
    return name == _KEY or is_of_records(name)
