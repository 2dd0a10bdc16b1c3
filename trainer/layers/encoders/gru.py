"""Gated recurrent units over a history, GRU4Rec (https://arxiv.org/abs/1511.06939)."""

import tensorflow as tf

from trainer.layers.encoders.recurrent import RecurrentEncoder


class GRUEncoder(RecurrentEncoder):
    """A GRU over the entries."""

    cell = tf.keras.layers.GRUCell
