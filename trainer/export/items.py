"""The encoded features of the catalogue, which a SavedModel looks up by item id."""

import tensorflow as tf

from features.encoding.encoder import Tensors
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.signature import raw_missing
from features.records.contents import ITEM_EVENTS
from trainer.data.catalogue import EncodedCatalogue
from trainer.index.item_ids import ItemIds
from trainer.index.vectors import read_rows


class ItemFeatures(tf.Module):
    """Encoded candidate features of each catalogue item; an unknown item has its id only."""

    def __init__(self, encoder: SchemaEncoder, candidates: EncodedCatalogue, item_ids: ItemIds) -> None:
        """Stores the features; `item_ids` are those of `candidates`, in the same order."""
        super().__init__(name="item_features")
        self._encoder = encoder
        self._item_ids = item_ids
        missing = encoder.encode_candidate(_missing_candidate(encoder))
        # The last row is for items that are not in the catalogue. A bag of values is stored without columns that are
        # padding for every item, so the missing values are narrowed as well.
        self._table = {
            name: tf.Variable(
                tf.concat([values, _narrowed(missing[name], values)], axis=0), trainable=False, name="values"
            )
            for name, values in candidates.features.items()
        }

    def __call__(self, item_ids: tf.Tensor) -> Tensors:
        """Encoded features, `[n]` or `[n, width]` by name, of item ids `[n] string`."""
        # The id is encoded here, so that an unknown one falls into its own out-of-vocabulary bucket, as in training.
        id_feature = self._encoder.schema.item_id_feature
        encoded = self._encoder.encode(id_feature, item_ids)
        return self.of_rows(self._item_ids.numbers(item_ids)) | {id_feature.name: encoded}

    def of_rows(self, rows: tf.Tensor) -> Tensors:
        """Encoded features, `[n]` or `[n, width]` by name, of catalogue rows `[n] int32`; row -1 is no item."""
        rows = tf.where(rows >= 0, rows, self._item_ids.num_values)
        return {name: read_rows(values, rows) for name, values in self._table.items()}


def _narrowed(row: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    return row[:, : values.shape[1]] if values.shape.rank == 2 else row


def _missing_candidate(encoder: SchemaEncoder) -> Tensors:
    """A raw candidate whose features are all missing."""
    raw = {feature.name: raw_missing(feature) for feature in encoder.schema.candidate}
    return raw | ({ITEM_EVENTS: tf.constant([0], tf.int64)} if encoder.schema.item_events else {})
