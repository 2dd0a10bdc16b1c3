from itertools import product

import numpy as np
import pytest
import tensorflow as tf

from trainer.config.encoders import TransformerConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import make_encoder
from trainer.layers.encoders.transformer import TransformerEncoder, turn_by

DIMENSION, HEADS, COUNT = 8, 2, 4


def encoder_of(config: TransformerConfig) -> TransformerEncoder:
    tf.keras.utils.set_random_seed(7)
    dropouts = DropoutSeries(step=tf.Variable(0, dtype=tf.int64))
    return make_encoder(config, DIMENSION, length=COUNT, dropouts=dropouts)


def vectors_of() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(COUNT, DIMENSION)).astype(np.float32)


def states(encoder: TransformerEncoder) -> np.ndarray:
    return encoder.all_states(tf.constant(vectors_of()[None]), tf.constant([range(COUNT)]), training=False).numpy()[0]


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def normalised(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-6)


def rotated(vectors: np.ndarray) -> np.ndarray:
    """Each pair of components as a complex number, times e^(i position angle)."""
    points = vectors[:, : DIMENSION // HEADS // 2] + 1j * vectors[:, DIMENSION // HEADS // 2 :]
    angles = np.arange(COUNT)[:, None] * np.array([1.0, 10_000.0**-0.5])
    turned = points * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def attended(block: tf.keras.layers.Layer, vectors: np.ndarray, *, is_rotary: bool) -> np.ndarray:
    parts = np.split(normalised(vectors) @ block.projections.kernel.numpy(), 3, axis=-1)
    outputs = []
    for query, key, value in zip(*(np.split(part, HEADS, axis=-1) for part in parts), strict=True):
        if is_rotary:
            query, key = rotated(query), rotated(key)
        weights = np.tril(np.exp(query @ key.T / np.sqrt(DIMENSION / HEADS)))
        outputs.append(weights / weights.sum(axis=1, keepdims=True) @ value)
    return np.concatenate(outputs, axis=-1) @ block.output_layer.kernel.numpy()


def fed_forward(block: tf.keras.layers.Layer, vectors: np.ndarray, *, is_swiglu: bool) -> np.ndarray:
    wide = normalised(vectors) @ block.wide.kernel.numpy()
    if is_swiglu:
        gate, value = np.split(wide, 2, axis=-1)
        return gate * sigmoid(gate) * value @ block.narrow.kernel.numpy()
    return tf.nn.gelu(wide).numpy() @ block.narrow.kernel.numpy()


@pytest.mark.parametrize(
    ("positions", "feed_forward", "gated"), list(product(("learnt", "rotary"), ("gelu", "swiglu"), (False, True)))
)
def test_states_are_those_of_the_equations(positions, feed_forward, gated):
    config = TransformerConfig(heads=HEADS, positions=positions, feed_forward=feed_forward, gated=gated)
    encoder = encoder_of(config)
    block, vectors = encoder.blocks[0], vectors_of()
    if positions == "learnt":
        vectors = vectors + encoder.places.numpy()[:COUNT]
    for part, layer in enumerate((attended, fed_forward)):
        option = {"is_rotary": positions == "rotary"} if layer is attended else {"is_swiglu": feed_forward == "swiglu"}
        gate = sigmoid(vectors @ block.gates[part].kernel.numpy()) if gated else 1.0
        vectors = vectors + gate * layer(block, vectors, **option)
    np.testing.assert_allclose(states(encoder), normalised(vectors), rtol=1e-4, atol=1e-5)


def test_an_option_that_is_off_adds_neither_a_weight_nor_an_operation():
    """So that models which were trained before there were options are restored, and say the same to the last bit."""
    encoder = encoder_of(TransformerConfig(heads=HEADS))
    block = encoder.blocks[0]
    names = ("projections", "output_layer", "wide", "narrow")
    dense = {f"blocks.0.{name}": getattr(block, name).kernel.shape.as_list() for name in names}
    assert dense == {
        "blocks.0.projections": [8, 24],
        "blocks.0.output_layer": [8, 8],
        "blocks.0.wide": [8, 32],
        "blocks.0.narrow": [32, 8],
    }
    # Positions; kernel and bias of four layers; scale and shift of three normalisations. The step is an integer.
    weights = [each for each in encoder.trainable_variables if each.dtype.is_floating]
    assert len(weights) == 1 + 2 * 4 + 2 * 3
    vectors = tf.constant(vectors_of()[None]) + encoder.places[:COUNT]
    causal = tf.linalg.band_part(tf.ones([1, COUNT, COUNT]), -1, 0) > 0
    split = tf.reshape(block.projections(block.norms[0](vectors)), [1, COUNT, 3, HEADS, DIMENSION // HEADS])
    query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), axis=0)
    logits = tf.where(causal[:, None], tf.matmul(query, key, transpose_b=True) * (DIMENSION // HEADS) ** -0.5, -1e9)
    mixed = tf.transpose(tf.matmul(tf.nn.softmax(logits), value), [0, 2, 1, 3])
    vectors += block.output_layer(tf.reshape(mixed, [1, COUNT, DIMENSION]))
    vectors += block.narrow(block.wide(block.norms[1](vectors)))
    np.testing.assert_array_equal(states(encoder), encoder.norm(vectors)[0])


def test_swiglu_has_as_many_weights_as_gelu():
    def count(feed_forward: str) -> int:
        encoder = make_encoder(
            TransformerConfig(feed_forward=feed_forward),
            24,
            length=3,
            dropouts=DropoutSeries(step=tf.Variable(0, dtype=tf.int64)),
        )
        return sum(tf.size(layer.kernel).numpy() for layer in (encoder.blocks[0].wide, encoder.blocks[0].narrow))

    assert count("swiglu") == count("gelu")


def test_rotary_products_depend_on_the_distance_alone():
    turn = turn_by(tf.constant([[0, 1, 5, 6, 40, 41]]), 6)
    query, key = np.random.default_rng(3).normal(size=(2, 1, 1, 1, 6)).astype(np.float32)
    queries, keys = (turn(tf.tile(each, [1, 1, 6, 1]))[0, 0].numpy() for each in (query, key))
    products = queries @ keys.T
    np.testing.assert_allclose(np.diag(products), products[0, 0], rtol=1e-4)
    next_to = [products[1, 0], products[3, 2], products[5, 4]]
    np.testing.assert_allclose(next_to, next_to[0], rtol=1e-4)
    assert abs(products[1, 0] - products[0, 0]) > 1e-3


def test_rotary_positions_need_an_even_number_of_components_a_head():
    assert TransformerConfig(heads=3, positions="rotary").dimension_divisor == 6
    assert TransformerConfig(heads=3).dimension_divisor == 3
