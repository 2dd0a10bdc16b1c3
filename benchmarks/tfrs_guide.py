"""The retrieval model of the TFRS guide as its users write it: what `training.py` and `peers.py` compare with.

`StringLookup` and `Embedding` towers of 64 components, the in-batch softmax of `tfrs.tasks.Retrieval`, batches of
4,096, Adagrad 0.1, `Model.fit` over shuffled strings (https://www.tensorflow.org/recommenders/examples/basic_retrieval).
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

BATCH, DIMENSION, LEARNING_RATE = 4096, 64, 0.1


class GuideModel(tfrs.Model):
    """Two towers over the ids of users and items."""

    def __init__(self, users: list[str], items: list[str]) -> None:
        """Creates the towers."""
        super().__init__()
        self.user_model, self.item_model = self._tower(users), self._tower(items)
        self.task = tfrs.tasks.Retrieval()

    @staticmethod
    def _tower(tokens: list[str]) -> tf.keras.Model:
        lookup = tf.keras.layers.StringLookup(vocabulary=tokens, mask_token=None)
        return tf.keras.Sequential([lookup, tf.keras.layers.Embedding(len(tokens) + 1, DIMENSION)])

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The guide's loss."""
        users, items = self.user_model(inputs["user"]), self.item_model(inputs["item"])
        return self.task(users, items, compute_metrics=False)


def compiled_model(num_users: int, num_items: int) -> GuideModel:
    """The model of so many users and items, ready for `fit`; the tokens are their row numbers."""
    model = GuideModel([str(row) for row in range(num_users)], [str(row) for row in range(num_items)])
    model.compile(optimizer=tf.keras.optimizers.Adagrad(LEARNING_RATE))
    return model


def batches(user_rows: npt.NDArray[Any], item_rows: npt.NDArray[Any]) -> tf.data.Dataset:
    """One pass over the events, `[events]` each, shuffled anew each time."""
    columns = {"user": _tokens(user_rows), "item": _tokens(item_rows)}
    return tf.data.Dataset.from_tensor_slices(columns).shuffle(100_000, seed=0).batch(BATCH).prefetch(2)


def user_vectors(model: GuideModel, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """`[n, 64] float32` of users, `[n]`."""
    vectors: npt.NDArray[np.float32] = model.user_model(tf.constant(_tokens(rows))).numpy()
    return vectors


def item_vectors(model: GuideModel, num_items: int) -> npt.NDArray[np.float32]:
    """`[num_items, 64] float32` of all items."""
    vectors: npt.NDArray[np.float32] = model.item_model(tf.constant(_tokens(np.arange(num_items)))).numpy()
    return vectors


def _tokens(rows: npt.NDArray[Any]) -> npt.NDArray[np.bytes_]:
    return rows.astype(np.bytes_)
