"""What the recurrent encoders share; `gru` and `lstm` choose the cell."""

from typing import ClassVar

import tensorflow as tf

from trainer.config.encoders import LayeredConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import HistoryEncoder, built, layer_norm


class RecurrentEncoder(HistoryEncoder):
    """Recurrent cells over the entries, from a state of zero at the start of each history."""

    cell: ClassVar[type[tf.keras.layers.Layer]]
    """The class of a cell; its constructor takes the number of units."""

    def __init__(self, config: LayeredConfig, dimension: int, *, length: int, dropouts: DropoutSeries) -> None:
        """Creates the cells, one a layer."""
        super().__init__(config, dimension, length=length, dropouts=dropouts)
        self.cells = [self.cell(dimension) for _ in range(config.layers)]
        for each in self.cells:
            each.build((None, dimension))
        self.output_dropout = dropouts.layer(config.dropout, 2)
        self.norm = built(layer_norm(), dimension)

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Runs along the rows."""
        keep = tf.cast(positions > 0, vectors.dtype)
        by_place = tf.transpose(vectors, [1, 0, 2])
        for cell in self.cells:
            by_place = _run(cell, by_place, tf.transpose(keep)[..., None])
        return self.norm(self.output_dropout(tf.transpose(by_place, [1, 0, 2]), training=training))


def _run(cell: tf.keras.layers.Layer, by_place: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """`[W, R, D]`: the cell's output after each place; where `keep [W, R, 1]` is 0 a history starts."""
    start = [tf.zeros_like(by_place[0])] * len(tf.nest.flatten(cell.state_size))

    def advance(state: list[tf.Tensor], inputs: tuple[tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
        vector, kept = inputs
        _, new_state = cell(vector, [kept * part for part in state])
        return list(new_state) if isinstance(new_state, list | tuple) else [new_state]

    return tf.scan(advance, (by_place, keep), initializer=start)[0]
