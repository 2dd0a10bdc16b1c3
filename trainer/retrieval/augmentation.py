"""Changes of histories in training, drawn anew at each step, so that a small log is not learnt by heart.

Crop and mask are two of CL4SRec's (https://arxiv.org/abs/2010.14395), similar items in place of others are CoSeRec's
(https://arxiv.org/abs/2108.06479). There the changed histories are views for a contrastive loss; here they take the
place of the true ones before the same targets, which needs no second loss. CL4SRec's crop keeps a fixed share of the
history, from anywhere in it. Here it keeps the newest entries, which decide what comes next, and draws how many.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from features.encoding.encoder import Tensors
from features.schema import Schema
from trainer.config.augmentation import AugmentationConfig
from trainer.layers.dropout import replica_number
from trainer.retrieval.similar_items import SimilarItems
from trainer.retrieval.tower import UNKNOWN_ITEM

# Numbers of the draws; dropout layers have others.
_IS_CROPPED, _CROPPED_AT, _REPLACED, _REPLACED_BY = 95, 96, 97, 98


class HistoryAugmentation(tf.keras.layers.Layer):
    """Maps a batch to one whose histories are cropped, masked and substituted; draws depend on step and replica."""

    def __init__(
        self, config: AugmentationConfig, schema: Schema, *, step: tf.Variable, similar_items: SimilarItems | None
    ) -> None:
        """Keeps what the changes are drawn from.

        Args:
            config: Shares.
            schema: Of the dataset; it has a history.
            step: `[] int64`, of the training.
            similar_items: What `substitute` draws from; None only for a model that is not trained.
        """
        super().__init__()
        assert schema.history is not None, "require_history"
        self.config, self.step = config, step
        self._history = schema.history.name
        self._companions = [feature.name for feature in schema.history_companions]
        self._times = "" if schema.history_times is None else schema.history_times.name
        self._similar = None if similar_items is None else tuple(map(tf.constant, similar_items))

    def call(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """A batch as `TwoTowerModel.compute_loss` takes it to the same batch with other histories."""
        if "items" in inputs:
            items = self.replaced(inputs["items"])
            return {**inputs, **self.cropped_rows(inputs["positions"], inputs["beside"]), "items": items}
        query = inputs["query"]
        history = {self._history: self.replaced(query[self._history])}
        return {**inputs, "query": self.cropped({**query, **history})}

    def replaced(self, items: tf.Tensor | tf.RaggedTensor) -> tf.Tensor | tf.RaggedTensor:
        """Masks and substitutes.

        Args:
            items: `[...] int32`, rows of the item embeddings, 0 for padding.

        Returns:
            The same shape.
        """
        if isinstance(items, tf.RaggedTensor):
            return items.with_flat_values(self.replaced(items.flat_values))
        mask, either = self.config.mask, self.config.mask + self.config.substitute
        if not either:
            return items
        chance, present = self._uniform(tf.shape(items), _REPLACED), items > 0
        result = items
        if self.config.substitute:
            result = tf.where(present & (chance < either), self._similar_to(items), result)
        return tf.where(present & (chance < mask), UNKNOWN_ITEM, result)

    def cropped(self, query: Tensors) -> Tensors:
        """Queries whose histories, `[batch, length]`, begin at a later entry; the entries move to the front."""
        if not self.config.crop:
            return query
        items = query[self._history]
        width = tf.shape(items)[1]
        places = tf.range(width)
        start = self._starts(tf.reduce_max(tf.where(items > 0, places + 1, 0), axis=1))
        origin = places + start[:, None]

        def moved(values: tf.Tensor) -> tf.Tensor:
            found = tf.gather(values, tf.minimum(origin, width - 1), batch_dims=1)
            return tf.where(origin < width, found, tf.zeros_like(found))

        changed = {name: moved(query[name]) for name in (self._history, *self._companions)}
        return {**query, **changed, **self._without_first_gap(changed, tf.broadcast_to(places, tf.shape(items)))}

    def cropped_rows(self, positions: tf.Tensor, beside: Tensors) -> dict[str, Any]:
        """`positions [R, W] int32` and companions of packed rows some of whose stretches are cut in two.

        A stretch of n places is cut before its place 1 to n - 1. The later part counts its positions from 0, which
        hides the earlier one from it; queries in the earlier part keep the history that they had.
        """
        if not self.config.crop:
            return {"positions": positions, "beside": beside}
        shape = tf.shape(positions)
        first = tf.clip_by_value(tf.range(shape[1]) - positions, 0, shape[1] - 1)
        stretch = tf.range(shape[0])[:, None] * shape[1] + first
        lengths = tf.math.unsorted_segment_max(positions + 1, stretch, shape[0] * shape[1])
        start = tf.gather(self._starts(tf.reshape(tf.maximum(lengths, 0), shape)), first, batch_dims=1)
        cut = tf.where(positions >= start, positions - start, positions)
        return {"positions": cut, "beside": {**beside, **self._without_first_gap(beside, cut)}}

    def _starts(self, lengths: tf.Tensor) -> tf.Tensor:
        """`[...] int32`: how many of the oldest of so many entries, `[...] int32`, are cropped."""
        shape = tf.shape(lengths)
        is_cropped = (self._uniform(shape, _IS_CROPPED) < self.config.crop) & (lengths >= 2)
        drawn = self._uniform(shape, _CROPPED_AT) * tf.cast(lengths - 1, tf.float32)
        return tf.where(is_cropped, 1 + tf.cast(drawn, tf.int32), 0)

    def _without_first_gap(self, companions: Tensors, positions: tf.Tensor) -> Tensors:
        """The times between entries, if the schema has them, with none before the first entry."""
        if not self._times:
            return {}
        gaps = companions[self._times]
        return {self._times: tf.where(positions == 0, tf.zeros_like(gaps), gaps)}

    def _similar_to(self, items: tf.Tensor) -> tf.Tensor:
        """`[...] int32`: a similar item of each, all of them as likely; an item without any stays."""
        assert self._similar is not None, "similar items are found in the events that are trained on"
        rows, counts = self._similar
        count = tf.cast(tf.gather(counts, items), tf.float32)
        place = tf.cast(self._uniform(tf.shape(items), _REPLACED_BY) * count, tf.int32)
        return tf.gather(tf.reshape(rows, [-1]), items * rows.shape[1] + place)

    def _uniform(self, shape: tf.Tensor, number: int) -> tf.Tensor:
        seed = tf.stack([self.step, number + 1000 * replica_number()])
        return tf.random.stateless_uniform(shape, seed)
