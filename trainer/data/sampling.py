"""Samples of a split's users and targets, drawn while its shards are read, so that no more than those are in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from features.records.contents import RecordKind
from features.records.parse import shard_files
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import (
    LENGTH,
    Columns,
    EncodedEvents,
    Int64,
    assemble_events,
    encoded_batches,
    is_of_records,
)

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


def sample_targets(directory: Path, dataset: EncodedDataset, number: int, seed: int) -> tuple[EncodedEvents, Int64]:
    """Some targets of positive interactions, each as likely as any other; reads the shards twice.

    Args:
        directory: the split's shards.
        dataset: Encoder and catalogue of the records.
        number: Largest number of targets.
        seed: Seed of the sample.

    Returns:
        The events of the targets' records, and which of these are the targets, ascending.

    Raises:
        InputError: A shard is missing or damaged.
    """

    def batches() -> Iterator[tuple[Columns, Int64]]:
        """Encoded records, and the targets among their events."""
        files, rows = shard_files(directory), dataset.candidates.rows()
        for batch in encoded_batches(directory, files, dataset.encoder, rows, records="retrieval"):
            yield batch, assemble_events(batch, dataset.encoder.schema).targets()

    total = sum(len(targets) for _, targets in batches())
    chosen = np.sort(np.random.default_rng(seed).permutation(total)[:number])
    parts, places, passed, kept = list[Columns](), [np.empty(0, np.int64)], 0, 0
    for batch, targets in batches():
        first, end = np.searchsorted(chosen, (passed, passed + len(targets)))
        events, passed = targets[chosen[first:end] - passed], passed + len(targets)
        if parts and not len(events):  # the first block stays even if it has none: it has the columns
            continue
        lengths = batch[LENGTH].astype(np.int64)
        record = np.repeat(np.arange(len(lengths)), lengths)
        is_kept = np.isin(np.arange(len(lengths)), record[events])
        places.append(kept + np.cumsum(is_kept[record])[events] - 1)
        parts.append(_select(batch, is_kept))
        kept += int(np.count_nonzero(is_kept[record]))
    sample = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return assemble_events(sample, dataset.encoder.schema), np.concatenate(places)


def _select(columns: Columns, is_kept: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of some records, `is_kept [records] bool`."""
    of_event = np.repeat(is_kept, columns[LENGTH].astype(np.int64))
    return {name: values[is_kept if _is_of_records(name) else of_event] for name, values in columns.items()}


def _is_of_records(name: str) -> bool:
    return name == _KEY or is_of_records(name)
