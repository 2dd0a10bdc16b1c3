"""Matrix products of a training step, in float32 or in half of its bits.

Weights, sums, softmax and losses stay in float32; the products alone, where most of a large model's time goes, round
what they multiply (https://arxiv.org/abs/1710.03740). Outside of `products_in` everything is float32, so that
validation and the SavedModels are what they are without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import tensorflow as tf

_DTYPE: ContextVar[tf.DType] = ContextVar("dtype of products", default=tf.float32)


@contextmanager
def products_in(dtype: tf.DType) -> Iterator[None]:
    """Lets the products that are traced within the block round their factors to this type."""
    token = _DTYPE.set(dtype)
    try:
        yield
    finally:
        _DTYPE.reset(token)


def matmul(left: tf.Tensor, right: tf.Tensor, *, transpose_a: bool = False, transpose_b: bool = False) -> tf.Tensor:
    """`tf.matmul` of float32 tensors; returns float32."""
    dtype = _DTYPE.get()
    product = tf.matmul(tf.cast(left, dtype), tf.cast(right, dtype), transpose_a=transpose_a, transpose_b=transpose_b)
    return tf.cast(product, tf.float32)


class Dense(tf.keras.layers.Dense):
    """Keras's dense layer, whose product is made by `matmul`."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """`[..., n] float32` to `[..., units] float32`."""
        if _DTYPE.get() == tf.float32:
            return super().call(inputs)
        flat = matmul(tf.reshape(inputs, [-1, self.kernel.shape[0]]), self.kernel)
        outputs = tf.reshape(flat, tf.concat([tf.shape(inputs)[:-1], [self.units]], axis=0))
        outputs.set_shape(inputs.shape[:-1].concatenate(self.units))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)
