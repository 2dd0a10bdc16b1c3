"""The catalogue in memory: item ids, encoded features and how often each item was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.encoder import Tensors
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import InputError
from features.records.contents import TRAIN_FREQUENCY
from features.records.parse import candidate_parsing_spec, read_records, reading

_RECORDS_A_BATCH = 8192


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedCatalogue:
    """Every item of the catalogue, one row an item, in the order of the records; compared by identity."""

    item_ids: tf.Tensor
    """`[items] string`."""
    features: Tensors
    """Encoded candidate features by name, `[items, ...]`."""
    train_frequency: npt.NDArray[np.int64]
    """`[items]`: positive training interactions with the item."""

    def __len__(self) -> int:
        return len(self.train_frequency)

    def without_events(self, item_id: str, first_index: int) -> npt.NDArray[np.bool_]:
        """`[items]`: which items the training has not seen.

        Asked of the ids and not of `train_frequency`, which a refreshed catalogue does not tell.

        Args:
            item_id: Name of the item's id among the features.
            first_index: First index of the ids that have a vector of their own.
        """
        is_new: npt.NDArray[np.bool_] = self.features[item_id].numpy() < first_index
        return is_new

    def events_of_indices(self, item_id: str, num_indices: int) -> npt.NDArray[np.int64]:
        """`[num_indices]`: positive training interactions by index of the item's id; unknown items share some.

        Args:
            item_id: Name of the item's id among the features.
            num_indices: Number of indices of the ids.
        """
        counts = np.zeros(num_indices, np.int64)
        np.add.at(counts, self.features[item_id].numpy(), self.train_frequency)
        return counts

    def rows(self) -> tf.lookup.StaticHashTable:
        """Item id (string) to row (int64), -1 for ids that the catalogue does not hold."""
        numbers = tf.range(len(self), dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(self.item_ids, numbers)
        return tf.lookup.StaticHashTable(initializer, default_value=-1)

    def gather(self, rows: tf.Tensor) -> Tensors:
        """Encoded features of some items: `[n] int32` to `[n, ...]` by name."""
        return {name: tf.gather(values, rows) for name, values in self.features.items()}


def load_catalogue(layout: DatasetLayout, encoder: SchemaEncoder) -> EncodedCatalogue:
    """Reads and encodes the catalogue.

    Raises:
        InputError: there are no items, or a shard is missing or damaged.
    """
    schema = encoder.schema
    records = read_records(layout.candidates, candidate_parsing_spec(schema), _RECORDS_A_BATCH)

    @tf.autograph.experimental.do_not_convert
    def encode(raw: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        fixed = {"item_ids": raw[schema.item_id], TRAIN_FREQUENCY: raw[TRAIN_FREQUENCY]}
        return {f"feature/{name}": value for name, value in encoder.encode_candidate(raw).items()} | fixed

    with reading(layout.candidates):
        batches = list(records.map(encode, num_parallel_calls=tf.data.AUTOTUNE))
    if not batches:
        raise InputError(f"{layout.candidates}: no items found; run `recstack prepare` with a table that has some")
    columns = {name: tf.concat([batch[name] for batch in batches], axis=0) for name in batches[0]}
    return EncodedCatalogue(
        item_ids=columns["item_ids"],
        features={name: _trimmed(columns[f"feature/{name}"]) for name in encoder.candidate_signature()},
        train_frequency=columns[TRAIN_FREQUENCY].numpy(),
    )


def _trimmed(values: tf.Tensor) -> tf.Tensor:
    """A bag without the columns that are padding for every item: most catalogues use few of a feature's places."""
    if values.dtype != tf.int32 or values.shape.rank != 2:
        return values
    used = tf.reduce_any(values > 0, axis=0)
    return values[:, : max(1, int(tf.reduce_max(tf.where(used, tf.range(1, tf.size(used) + 1), 0))))]
