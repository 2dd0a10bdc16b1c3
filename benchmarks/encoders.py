"""Time of an encoder's forward and backward pass over packed histories, beside what its matrix products alone take.

    .venv/bin/python benchmarks/encoders.py
    .venv/bin/python benchmarks/encoders.py --length 50 --dimension 192 --rows 128

The limit of an encoder is the time that products of its own sizes take when nothing else is done: each product of the
graph, forward and backward, is timed by itself on made-up factors, the smallest of several runs. Recurrent encoders
loop over products that the graph does not show, so they have no limit.
"""

import features as features  # selects Keras 2, so it comes before TensorFlow

# isort: split
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tensorflow as tf
import tyro
from rich.console import Console
from rich.table import Table

from trainer.config.encoders import EncoderConfig, GRUConfig, HSTUConfig, RecencyConfig, TransformerConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.encoders.base import make_encoder

_MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command-line arguments: sizes of the packed histories and of the encoders."""

    rows: int = 16
    """Rows of packed histories in a step."""
    length: int = 200
    """Events of a row."""
    dimension: int = 128
    """Components of a vector."""
    layers: int = 2
    """Layers of each encoder that has some."""
    dropout: float = 0.2
    """Share that is zeroed."""
    steps: int = 10
    """Steps timed; the smallest counts."""


@dataclass(frozen=True)
class Product:
    """A matrix product, or a batch of them."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    transposed: tuple[bool, bool]

    def operations(self) -> int:
        """Multiplications and additions."""
        inner = self.left[-2] if self.transposed[0] else self.left[-1]
        columns = self.right[-2] if self.transposed[1] else self.right[-1]
        rows = tf.TensorShape(self.left).num_elements() // inner
        return 2 * rows * inner * columns


def encoders(arguments: Arguments) -> Mapping[str, EncoderConfig]:
    """By what they are called."""
    layers, dropout = arguments.layers, arguments.dropout
    plain = TransformerConfig(layers=layers, heads=2, dropout=dropout)
    later = TransformerConfig(
        layers=layers, heads=2, dropout=dropout, positions="rotary", feed_forward="swiglu", gated=True
    )
    return {
        "transformer": plain,
        "transformer, rotary, swiglu, gated": later,
        "hstu": HSTUConfig(layers=layers, heads=2, dropout=dropout),
        "gru": GRUConfig(layers=layers, dropout=dropout),
        "recency": RecencyConfig(dropout=dropout),
    }


def main(arguments: Arguments) -> None:
    """Prints one row an encoder."""
    events = arguments.rows * arguments.length
    title = (
        f"{arguments.rows} rows of {arguments.length} events, {arguments.dimension} components, forward and backward"
    )
    table = Table(title=title)
    for column in ("encoder", "ms", "its products alone, ms", "ratio", "products, GFLOP/s", "minutes a million events"):
        table.add_column(column, justify="left" if column == "encoder" else "right")
    for name, config in encoders(arguments).items():
        step = step_of(config, arguments)
        seconds = fastest(step, arguments.steps)
        products = products_of(step)
        limit = sum(number * alone(product, arguments.steps) for product, number in products.items())
        operations = sum(number * product.operations() for product, number in products.items())
        is_known = not isinstance(config, GRUConfig) and limit > 0
        cells = (f"{1000 * limit:.1f}", f"{seconds / limit:.2f}", f"{operations / limit / 1e9:.0f}") if is_known else ()
        minutes = f"{seconds * _MILLION / events / 60:.1f}"
        table.add_row(name, f"{1000 * seconds:.1f}", *(cells or ("", "", "")), minutes)
    Console(width=140).print(table)


def step_of(config: EncoderConfig, arguments: Arguments) -> Callable[[], tf.Tensor]:
    """A function that computes the gradients of an encoder's weights and of the embedded entries."""
    dropouts = DropoutSeries(step=tf.Variable(0, dtype=tf.int64))
    encoder = make_encoder(config, arguments.dimension, length=arguments.length, dropouts=dropouts)
    shape = [arguments.rows, arguments.length]
    vectors = tf.Variable(tf.random.stateless_normal([*shape, arguments.dimension], seed=[0, 0]))
    wanted = tf.random.stateless_normal(vectors.shape, seed=[0, 1])
    positions = tf.tile(tf.range(arguments.length)[None], [arguments.rows, 1])
    gaps = tf.fill(shape, 5)

    @tf.function(autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            states = encoder.all_states(vectors, positions, training=True, gaps=gaps)
            loss = tf.reduce_sum(states * wanted)
        gradients = tape.gradient(loss, [vectors, *encoder.trainable_variables])
        return tf.add_n([tf.reduce_sum(tf.convert_to_tensor(each)) for each in gradients if each is not None])

    return step


def products_of(step: Callable[[], tf.Tensor]) -> Counter[Product]:
    """The matrix products of a step, each with how often it is computed."""
    found = Counter[Product]()
    for operation in step.get_concrete_function().graph.get_operations():
        names = {"MatMul": ("transpose_a", "transpose_b"), "BatchMatMulV2": ("adj_x", "adj_y")}.get(operation.type)
        if names is not None:
            left, right = (tuple(each.shape.as_list()) for each in operation.inputs)
            found[Product(left, right, (operation.get_attr(names[0]), operation.get_attr(names[1])))] += 1
    return found


def alone(product: Product, steps: int) -> float:
    """Seconds of one product on factors of its sizes."""
    left, right = (tf.random.stateless_normal(shape, seed=[0, 2]) for shape in (product.left, product.right))

    @tf.function(autograph=False)
    def multiply(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        return tf.linalg.matmul(left, right, transpose_a=product.transposed[0], transpose_b=product.transposed[1])

    return fastest(lambda: multiply(left, right), steps)


def fastest(call: Callable[[], tf.Tensor], times: int) -> float:
    """The smallest of several wall times in seconds, after one call that is not timed."""
    call()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        call().numpy()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
