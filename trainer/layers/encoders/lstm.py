"""Long short-term memory over a history (https://doi.org/10.1162/neco.1997.9.8.1735)."""

import tensorflow as tf

from trainer.layers.encoders.recurrent import RecurrentEncoder


class LSTMEncoder(RecurrentEncoder):
    """An LSTM over the entries."""

    cell = tf.keras.layers.LSTMCell
