"""What a request asks for beside what it restricts: items shown before count less, chosen values more or less.

For a categorical attribute `genres`:

    shown_item_ids  [batch, s] string   items shown before, as often as they were shown; `""` pads
    genres_boosted  [batch, v] string   items that have one of these values count more; `""` pads
    genres_buried   [batch, v] string   items that have one of these values count less

A first axis of 1 stands for the whole batch.

Shapes: B queries, n candidates.
"""

import math
from collections.abc import Mapping

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.export import ExportConfig
from trainer.export.signatures import Input
from trainer.index.attributes import is_any_string
from trainer.index.filtered_retriever import Retriever

SHOWN = "shown_item_ids"
_ANY_OF, _BOOSTED, _BURIED = "_any_of", "_boosted", "_buried"


class Adjustments(tf.Module):
    """Factors of the candidates' chances."""

    def __init__(self, retriever: Retriever, config: ExportConfig) -> None:
        """Takes what looks items up, and how much each factor is.

        Args:
            retriever: Knows the items' ids and attributes.
            config: A chance is multiplied by 1 - `shown_discount` for each time that the item was shown, by
                `boost_factor` for each attribute of which it has a boosted value, and divided by it for a buried one.
        """
        super().__init__(name="adjustments")
        self.retriever = retriever
        self._log_discount, self._log_boost = math.log1p(-config.shown_discount), math.log(config.boost_factor)

    def inputs(self) -> dict[str, Input]:
        """The optional inputs."""
        names = (SHOWN, *self._directions())
        spec = tf.TensorSpec([None, None], tf.string)
        return {name: Input(spec=spec, default=tf.constant([[""]])) for name in names}

    def __call__(self, request: Tensors, rows: tf.Tensor) -> tf.Tensor:
        """The sum of the logs of a candidate's factors.

        Args:
            request: Holds the inputs.
            rows: `[B, n] int32`, rows of the index, -1 for padding.

        Returns:
            `[B, n] float32`, 0 everywhere if the request asks for nothing.
        """
        # Most requests ask for nothing: they are spared what factors cost, by one condition for all of it.
        return tf.cond(
            tf.reduce_any([is_any_string(request[name]) for name in self.inputs()]),
            lambda: self._log_factors(request, rows),
            lambda: tf.zeros(tf.shape(rows)),
        )

    def _log_factors(self, request: Tensors, rows: tf.Tensor) -> tf.Tensor:
        shown = self.retriever.item_ids.numbers(request[SHOWN])
        total = self._log_discount * times_shown(rows, shown)
        for name, log_factor in self._directions().items():
            values = request[name]
            attribute = name.removesuffix(_BOOSTED).removesuffix(_BURIED)
            has_value = self.retriever.admits(rows, {attribute + _ANY_OF: values})
            is_asked = tf.reduce_any(values != "", axis=1, keepdims=True)
            total += tf.where(has_value & is_asked, log_factor, 0.0)
        return total

    def _directions(self) -> Mapping[str, float]:
        """Log factor by the name of each input of an attribute."""
        attributes = [name.removesuffix(_ANY_OF) for name in self.retriever.filter_specs() if name.endswith(_ANY_OF)]
        return {
            name + suffix: sign * self._log_boost
            for name in attributes
            for suffix, sign in ((_BOOSTED, 1.0), (_BURIED, -1.0))
        }


def times_shown(rows: tf.Tensor, shown: tf.Tensor) -> tf.Tensor:
    """How often each candidate was shown.

    Args:
        rows: `[B, n] int32`, -1 for padding.
        shown: `[B, s]` or `[1, s] int32`, -1 for none.

    Returns:
        `[B, n] float32`, 0 for padding.
    """
    is_shown = (rows[:, :, None] == shown[:, None, :]) & (shown >= 0)[:, None, :]
    return tf.reduce_sum(tf.cast(is_shown, tf.float32), axis=-1)
