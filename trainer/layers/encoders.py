"""History encoders behind one interface: the items of a history in, a vector after each of them out.

All are causal: what they say after an item depends on that item and the ones before it, so that one pass over a user's
events trains every position at once, and the vector served is the one after the last item. Several histories may share
a row ("packing": https://arxiv.org/abs/2107.02027): `positions` count from 0 in each history, and a history never sees
the one before it in the row.

Shapes: R rows of W places, D components.
"""

from abc import abstractmethod
from collections.abc import Mapping

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.retrieval import EncoderConfig, EncoderKind
from trainer.layers.dropout import StepDropout
from trainer.layers.embedding import EmbeddingTable, weighted_sum


class HistoryEncoder(tf.keras.layers.Layer):
    """What every encoder has: the table it shares with the candidate tower, and the two ways to be called."""

    def __init__(self, config: EncoderConfig, table: EmbeddingTable, *, length: int, step: tf.Variable) -> None:
        """Creates the weights.

        Args:
            config: of the encoder.
            table: of the items.
            length: items of a history, at most.
            step: of the training, for dropout.
        """
        super().__init__()
        self.config, self.table, self.length = config, table, length
        self.dimension = int(table.table.shape[1])
        self.input_dropout = StepDropout(config.dropout, step=step, number=1)
        self.item_vectors: tf.keras.layers.Layer = table
        """Rows of the table to vectors: the table itself, or what knows the items' side features too."""
        self.companions: dict[str, EmbeddingTable] = {}
        """Tables of what is known of the events beside their items, by name; added to the items' vectors."""

    def embed(self, items: tf.Tensor, beside: Tensors | None) -> tf.Tensor:
        """Items, and what is known of their events, `[...] int32` each, to `[..., D] float32`."""
        events = [table((beside or {})[name]) for name, table in self.companions.items()]
        return tf.add_n([self.item_vectors(items), *events])

    def embed_sum(self, items: tf.Tensor, beside: Tensors | None, weights: tf.Tensor, training: bool) -> tf.Tensor:
        """The sum of `embed` over the places, `[batch, W]`, times their weights, float32; `[batch, D] float32`."""
        if self.item_vectors is self.table:
            of_items = weighted_sum(self.table, items, weights, training=training)
        else:
            of_items = tf.einsum("bw,bwd->bd", weights, self.item_vectors(items))
        of_companions = [
            weighted_sum(table, (beside or {})[name], weights, training=training)
            for name, table in self.companions.items()
        ]
        return tf.add_n([of_items, *of_companions])

    @abstractmethod
    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """The vector after each item.

        Args:
            vectors: `[R, W, D] float32`, embedded items.
            positions: `[R, W] int32`, of each item in its history; -1 for padding.
            training: whether dropout is on.

        Returns:
            `[R, W, D] float32`.
        """

    def all_states(
        self, items: tf.Tensor, positions: tf.Tensor, training: bool, beside: Tensors | None = None
    ) -> tf.Tensor:
        """`states` of packed items and of what is beside them, `[R, W] int32` each, to `[R, W, D] float32`."""
        return self.states(self.input_dropout(self.embed(items, beside), training=training), positions, training)

    def call(self, history: tf.Tensor, beside: Tensors | None = None, training: bool = False) -> tf.Tensor:
        """The vector after the last item of each history.

        Args:
            history: `[batch, length] int32`, rows of the table, 0 is padding at the end.
            beside: the companions of its entries by name, `[batch, length] int32`.
            training: whether dropout is on.

        Returns:
            `[batch, D] float32`, zero for an empty history.
        """
        present = history > 0
        positions = tf.where(present, tf.range(tf.shape(history)[1])[None, :], -1)
        states = self.all_states(history, positions, training, beside)
        last = tf.reduce_max(positions, axis=1)
        final = tf.gather(states, tf.maximum(last, 0), batch_dims=1)
        return tf.where(last[:, None] >= 0, final, tf.zeros_like(final))


class MeanEncoder(HistoryEncoder):
    """The mean of the items' embeddings, whatever their order."""

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Running means."""
        visible = tf.cast(same_history(positions), vectors.dtype)
        return tf.matmul(visible, vectors) / tf.cast(tf.maximum(positions + 1, 1), vectors.dtype)[..., None]

    def call(
        self, history: tf.Tensor | tf.RaggedTensor, beside: Tensors | None = None, training: bool = False
    ) -> tf.Tensor:
        """As for every encoder, without the states in between; takes ragged histories too."""
        if not isinstance(history, tf.RaggedTensor):
            present = tf.cast(history > 0, tf.float32)
            weights = tf.math.divide_no_nan(present, tf.reduce_sum(present, axis=1, keepdims=True))
            return self.input_dropout(self.embed_sum(history, beside, weights, training), training=training)
        rows = tf.cast(history.nrows(), tf.int32)
        flat = {name: values.flat_values for name, values in (beside or {}).items()}
        vectors = self.embed(history.flat_values, flat)
        total = tf.math.unsorted_segment_sum(vectors, history.value_rowids(), rows)
        lengths = tf.cast(history.row_lengths(), total.dtype)
        return self.input_dropout(total / tf.maximum(lengths, 1.0)[:, None], training=training)


class RecencyEncoder(HistoryEncoder):
    """A weighted mean of the items' embeddings; what each place from the end weighs is learnt, one number a place.

    Item-based filtering with a decay, whose curve the training finds; starts as the plain mean.
    """

    def __init__(self, config: EncoderConfig, table: EmbeddingTable, *, length: int, step: tf.Variable) -> None:
        """Creates the weights' logits, zero for every place."""
        super().__init__(config, table, length=length, step=step)
        self.log_weights = self.add_weight(name="log_weights", shape=(length,), initializer="zeros")

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Weighted running means."""
        places = tf.range(tf.shape(positions)[1])
        back = tf.clip_by_value(places[:, None] - places[None, :], 0, self.length - 1)
        return tf.matmul(_softmax_over(tf.gather(self.log_weights, back)[None], same_history(positions)), vectors)

    def call(self, history: tf.Tensor, beside: Tensors | None = None, training: bool = False) -> tf.Tensor:
        """As for every encoder, without the states in between."""
        present = history > 0
        lengths = tf.reduce_sum(tf.cast(present, tf.int32), axis=1, keepdims=True)
        back = tf.maximum(lengths - 1 - tf.range(tf.shape(history)[1])[None, :], 0)
        weights = _softmax_over(tf.gather(self.log_weights, back), present)
        if self.config.dropout == 0:
            return self.embed_sum(history, beside, weights, training)
        vectors = self.input_dropout(self.embed(history, beside), training=training)
        return tf.reduce_sum(weights[..., None] * vectors, axis=1)


class RecurrentEncoder(HistoryEncoder):
    """A GRU (https://arxiv.org/abs/1511.06939) or an LSTM over the items, from zero at the start of each history."""

    def __init__(self, config: EncoderConfig, table: EmbeddingTable, *, length: int, step: tf.Variable) -> None:
        """Creates the cells, one a layer."""
        super().__init__(config, table, length=length, step=step)
        cell = tf.keras.layers.GRUCell if config.kind == "gru" else tf.keras.layers.LSTMCell
        self.cells = [cell(self.dimension) for _ in range(config.layers)]
        for each in self.cells:
            each.build((None, self.dimension))
        self.output_dropout = StepDropout(config.dropout, step=step, number=2)
        self.norm = _built(_norm(), self.dimension)

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Runs along the rows."""
        keep = tf.cast(positions > 0, vectors.dtype)
        by_place = tf.transpose(vectors, [1, 0, 2])
        for cell in self.cells:
            by_place = self._run(cell, by_place, tf.transpose(keep)[..., None])
        return self.norm(self.output_dropout(tf.transpose(by_place, [1, 0, 2]), training=training))

    def _run(self, cell: tf.keras.layers.Layer, by_place: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
        start = [tf.zeros_like(by_place[0])] * (1 if self.config.kind == "gru" else 2)

        def advance(state: list[tf.Tensor], inputs: tuple[tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
            vector, kept = inputs
            _, new_state = cell(vector, [kept * part for part in state])
            return list(new_state) if isinstance(new_state, list | tuple) else [new_state]

        return tf.scan(advance, (by_place, keep), initializer=start)[0]


class ConvolutionEncoder(HistoryEncoder):
    """Causal convolutions with gaps that double from layer to layer (https://arxiv.org/abs/1808.05163)."""

    def __init__(self, config: EncoderConfig, table: EmbeddingTable, *, length: int, step: tf.Variable) -> None:
        """Creates one matrix for each tap of each layer."""
        super().__init__(config, table, length=length, step=step)
        width = self.dimension * config.kernel_size
        self.layers = [_built(tf.keras.layers.Dense(self.dimension, "gelu"), width) for _ in range(config.layers)]
        self.norms = [_built(_norm(), self.dimension) for _ in range(config.layers + 1)]
        self.dropouts = [StepDropout(config.dropout, step=step, number=2 + i) for i in range(config.layers)]

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Adds each layer's convolution to what came in."""
        gap = 1
        for layer, norm, dropout in zip(self.layers, self.norms, self.dropouts, strict=False):
            taps = [_delayed(norm(vectors), positions, tap * gap) for tap in range(self.config.kernel_size)]
            vectors += dropout(layer(tf.concat(taps, axis=-1)), training=training)
            gap *= 2
        return self.norms[-1](vectors)


class TransformerEncoder(HistoryEncoder):
    """Causal self-attention, SASRec (https://arxiv.org/abs/1808.09781) with pre-norm blocks and learnt positions."""

    def __init__(self, config: EncoderConfig, table: EmbeddingTable, *, length: int, step: tf.Variable) -> None:
        """Creates positions and blocks."""
        super().__init__(config, table, length=length, step=step)
        noise = tf.keras.initializers.RandomNormal(stddev=0.02, seed=length)
        self.places = self.add_weight(name="positions", shape=(length + 1, self.dimension), initializer=noise)
        self.blocks = [
            AttentionBlock(config, self.dimension, step=step, number=10 * (i + 1)) for i in range(config.layers)
        ]
        self.norm = _built(_norm(), self.dimension)

    def states(self, vectors: tf.Tensor, positions: tf.Tensor, training: bool) -> tf.Tensor:
        """Adds the positions and runs the blocks."""
        vectors += tf.gather(self.places, tf.clip_by_value(positions, 0, self.length))
        visible = same_history(positions)
        for block in self.blocks:
            vectors = block(vectors, visible, training=training)
        return self.norm(vectors)


class AttentionBlock(tf.keras.layers.Layer):
    """Attention and a GELU layer of four times the width, each normalised first and added to what came in."""

    def __init__(self, config: EncoderConfig, dimension: int, *, step: tf.Variable, number: int) -> None:
        """Creates the weights; `number` tells the block's dropouts from the others."""
        super().__init__()
        self.heads, self.depth = config.heads, dimension // config.heads
        self.norms = [_built(_norm(), dimension) for _ in range(2)]
        self.projections = _built(tf.keras.layers.Dense(3 * dimension), dimension)
        self.output_layer = _built(tf.keras.layers.Dense(dimension), dimension)
        self.wide = _built(tf.keras.layers.Dense(4 * dimension, "gelu"), dimension)
        self.narrow = _built(tf.keras.layers.Dense(dimension), 4 * dimension)
        self.dropouts = [StepDropout(config.dropout, step=step, number=number + i) for i in range(4)]

    def call(self, vectors: tf.Tensor, visible: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[R, W, D]` and `[R, W, W] bool` (from, to) to `[R, W, D]`."""
        attended = self.output_layer(self._attend(self.norms[0](vectors), visible, training))
        vectors += self.dropouts[1](attended, training=training)
        wide = self.dropouts[2](self.wide(self.norms[1](vectors)), training=training)
        return vectors + self.dropouts[3](self.narrow(wide), training=training)

    def _attend(self, vectors: tf.Tensor, visible: tf.Tensor, training: bool) -> tf.Tensor:
        rows, width = tf.shape(vectors)[0], tf.shape(vectors)[1]
        split = tf.reshape(self.projections(vectors), [rows, width, 3, self.heads, self.depth])
        query, key, value = tf.unstack(tf.transpose(split, [2, 0, 3, 1, 4]), axis=0)
        logits = tf.matmul(query, key, transpose_b=True) * self.depth**-0.5
        # Padding sees nothing; the finite floor keeps its softmax free of NaN.
        logits = tf.where(visible[:, None], logits, tf.constant(-1e9, logits.dtype))
        weights = self.dropouts[0](tf.nn.softmax(logits), training=training)
        mixed = tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3])
        return tf.reshape(mixed, [rows, width, self.heads * self.depth])


def same_history(positions: tf.Tensor) -> tf.Tensor:
    """Which places a place may look at: its own and the earlier ones of the same history.

    Args:
        positions: `[R, W] int32`, -1 for padding.

    Returns:
        `[R, W, W] bool`: from, to.
    """
    places = tf.range(tf.shape(positions)[1])
    start = places - positions
    earlier = places[None, :] <= places[:, None]
    same = start[:, :, None] == start[:, None, :]
    real = positions >= 0
    return same & earlier[None] & real[:, :, None] & real[:, None, :]


def _softmax_over(logits: tf.Tensor, visible: tf.Tensor) -> tf.Tensor:
    """Softmax along the last axis over what is visible; zero where nothing is."""
    weights = tf.where(visible, tf.exp(logits), tf.zeros_like(logits))
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=-1, keepdims=True))


def _delayed(vectors: tf.Tensor, positions: tf.Tensor, places: int) -> tf.Tensor:
    """`[R, W, D]`: the vector so many places before in the same history, zero where there is none."""
    if places == 0:
        return vectors
    shifted = tf.pad(vectors, [[0, 0], [places, 0], [0, 0]])[:, : tf.shape(vectors)[1]]
    return tf.where(positions[..., None] >= places, shifted, tf.zeros_like(shifted))


def _norm() -> tf.keras.layers.Layer:
    return tf.keras.layers.LayerNormalization(epsilon=1e-6)


def _built(layer: tf.keras.layers.Layer, width: int) -> tf.keras.layers.Layer:
    """The layer with its weights made, so that an optimizer can be built before the first call."""
    layer.build((None, None, width))
    return layer


ENCODERS: Mapping[EncoderKind, type[HistoryEncoder]] = {
    "mean": MeanEncoder,
    "recency": RecencyEncoder,
    "gru": RecurrentEncoder,
    "lstm": RecurrentEncoder,
    "cnn": ConvolutionEncoder,
    "transformer": TransformerEncoder,
}
