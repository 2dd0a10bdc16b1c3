"""Every network passes one contract, one from outside of the package too; each against its formula."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.schema import Schema
from features.serialization import structure
from features.spec.ids import IdFeature
from trainer.config.encoders import HSTUConfig, TransformerConfig
from trainer.config.ranking import (
    NETWORKS,
    DCNConfig,
    DINConfig,
    DLRMConfig,
    MLPConfig,
    NetworkConfig,
    RankingConfig,
    SequenceConfig,
    require_tasks,
)
from trainer.layers.dropout import DropoutSeries
from trainer.ranking.networks.contract import History, Network
from trainer.ranking.networks.din import DIN
from trainer.ranking.networks.dlrm import DLRM
from trainer.ranking.networks.sequence import Sequence

FEATURES, DIMENSION, BATCH = 3, 2, 5
VECTORS = np.random.default_rng(0).normal(size=(BATCH, FEATURES * DIMENSION)).astype(np.float32)
ENTRIES = np.random.default_rng(1).normal(size=(2, 4, DIMENSION)).astype(np.float32)
PRESENT = np.array([[True, True, True, False], [False] * 4])
QUERIES = np.array([0, 1, 0, 0, 1], np.int32)


@dataclass(frozen=True, kw_only=True)
class DotConfig(NetworkConfig):
    """Inner products of all pairs of features."""


class Dot(Network):
    def __init__(self, config: DotConfig, *, num_features: int, dimension: int, dropouts: DropoutSeries) -> None:
        super().__init__(config, num_features=num_features, dimension=dimension, dropouts=dropouts)
        self.shape_of_features = (num_features, dimension)

    def call(self, vectors: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = tf.reshape(vectors, [-1, *self.shape_of_features])
        return tf.reshape(tf.matmul(features, features, transpose_b=True), [-1, self.shape_of_features[0] ** 2])


@pytest.fixture(autouse=True)
def outside() -> Iterator[None]:
    with NETWORKS.registered("dot", DotConfig, Dot):
        yield


def network_of(config: NetworkConfig, step: int = 0) -> Network:
    tf.keras.utils.set_random_seed(1)
    length = {"history": ENTRIES.shape[1]} if config.reads_history else {}
    made: Network = NETWORKS.implementation(config)(
        config,
        num_features=FEATURES,
        dimension=DIMENSION,
        dropouts=DropoutSeries(step=tf.Variable(step, dtype=tf.int64, trainable=False)),
        **length,
    )
    return made


def called(network: Network, vectors: np.ndarray, rows: slice = slice(None), *, training: bool = False) -> np.ndarray:
    """The network's answer to some pairs, whose queries are few."""
    more = {"history": history_of(QUERIES[rows])} if isinstance(network, DIN | Sequence) else {}
    return network(vectors[rows], training=training, **more).numpy()


def history_of(query_of_pair: np.ndarray | None) -> History:
    return History(
        entries=tf.constant(ENTRIES),
        present=tf.constant(PRESENT),
        query_of_pair=None if query_of_pair is None else tf.constant(query_of_pair),
        item_place=1,
    )


@pytest.mark.parametrize("kind", ["dcn", "mlp", "dlrm", "din", "sequence", "dot"])
def test_network_keeps_pairs_apart_and_takes_none(kind: str) -> None:
    network = network_of(NETWORKS.options(kind)())
    whole = called(network, VECTORS)
    assert whole.shape[0] == BATCH
    assert np.isfinite(whole).all()
    # What is said of a pair does not depend on the pairs beside it.
    np.testing.assert_allclose(called(network, VECTORS, slice(2, 4)), whole[2:4], rtol=1e-5, atol=1e-6)
    assert called(network, VECTORS, slice(0)).shape == (0, whole.shape[1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dcn", "mlp", "dlrm", "din", "sequence"])
def test_dropout_depends_on_the_step_in_training_alone(kind: str) -> None:
    config = NETWORKS.options(kind)(dropout=0.5)
    served, first = (called(network_of(config), VECTORS, training=training) for training in (False, True))
    again, later = (called(network_of(config, step), VECTORS, training=True) for step in (0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != served).any()
    assert (first != later).any()


def test_mlp_is_relu_of_products() -> None:
    network = network_of(MLPConfig(hidden=(4, 3), dropout=0.0))
    found = network(VECTORS).numpy()
    expected = VECTORS
    for layer in network.hidden:
        kernel, bias = (weight.numpy() for weight in layer.weights)
        expected = np.maximum(expected @ kernel + bias, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_dlrm_is_the_products_of_all_pairs_beside_dense_layers_over_them() -> None:
    network = network_of(DLRMConfig(hidden=(4,), dropout=0.0))
    found = network(VECTORS).numpy()
    each = VECTORS.reshape(BATCH, FEATURES, DIMENSION)
    products = np.stack([np.sum(each[:, i] * each[:, j], axis=1) for i, j in ((0, 1), (0, 2), (1, 2))], axis=1)
    (layer,) = network.hidden
    kernel, bias = (weight.numpy() for weight in layer.weights)
    deep = np.maximum(np.concatenate([VECTORS, products], axis=1) @ kernel + bias, 0.0)
    np.testing.assert_allclose(found, np.concatenate([products, deep], axis=1), rtol=1e-5, atol=1e-6)


def test_dlrm_of_one_feature_has_no_product() -> None:
    network = DLRM(DLRMConfig(hidden=(4,)), num_features=1, dimension=2, dropouts=DropoutSeries(step=tf.Variable(0)))
    assert network(VECTORS[:, :2]).shape == (BATCH, 4)


def test_dlrm_without_dense_layers_gives_embeddings_and_products() -> None:
    found = network_of(DLRMConfig(hidden=(), dropout=0.0))(VECTORS).numpy()
    assert found.shape == (BATCH, 3 + FEATURES * DIMENSION)


def test_din_weighs_the_historys_items_by_equation_3() -> None:
    network = network_of(DINConfig(attention=6, hidden=(4,), dropout=0.0))
    found = called(network, VECTORS)
    entry, product = network.of_entry.kernel.numpy(), network.of_product.kernel.numpy()
    item_kernel, item_bias = (weight.numpy() for weight in network.of_item.weights)
    unit_kernel, unit_bias = (weight.numpy() for weight in network.unit.weights)
    interests = np.zeros((BATCH, DIMENSION))
    for pair, query in enumerate(QUERIES):
        item = VECTORS[pair, DIMENSION : 2 * DIMENSION]
        for one in ENTRIES[query][PRESENT[query]]:
            hidden = one @ entry + item @ item_kernel + item_bias + (one * item) @ product
            weight = np.where(hidden > 0, hidden, 0.25 * hidden) @ unit_kernel + unit_bias
            interests[pair] += weight * one
    kernel, bias = (weight.numpy() for weight in network.hidden[0].weights)
    deep = np.maximum(np.concatenate([VECTORS, interests], axis=1) @ kernel + bias, 0.0)
    np.testing.assert_allclose(found, deep, rtol=1e-4, atol=1e-5)
    assert np.abs(interests[QUERIES == 0]).min() > 0  # the other query's history is empty


@pytest.mark.parametrize("config", [DINConfig(dropout=0.0), SequenceConfig(dropout=0.0)])
def test_pairs_with_a_query_each_are_scored_as_pairs_that_share_one(config: NetworkConfig) -> None:
    network = network_of(config)
    shared = network(VECTORS, history=history_of(QUERIES))
    own = History(
        entries=tf.constant(ENTRIES[QUERIES]), present=tf.constant(PRESENT[QUERIES]), query_of_pair=None, item_place=1
    )
    np.testing.assert_allclose(network(VECTORS, history=own), shared, rtol=1e-5, atol=1e-6)


def test_sequence_is_attention_over_the_states_of_the_encoder() -> None:
    network = network_of(SequenceConfig(hidden=(), dropout=0.0))
    found = called(network, VECTORS)
    history = history_of(QUERIES)
    states = network.states(history, training=False).numpy()
    query, key, value = (layer.kernel.numpy() for layer in (network.query, network.key, network.value))
    for pair, place in enumerate(QUERIES):
        own = states[place][PRESENT[place]]
        read, last = np.zeros(DIMENSION), np.zeros(DIMENSION)
        if len(own):
            logits = (own @ key) @ (VECTORS[pair, DIMENSION : 2 * DIMENSION] @ query) / np.sqrt(DIMENSION)
            weights = np.exp(logits) / np.exp(logits).sum()
            read, last = weights @ (own @ value), own[-1]
        np.testing.assert_allclose(found[pair], np.concatenate([VECTORS[pair], read, last]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [DINConfig(), SequenceConfig(), SequenceConfig(encoder=HSTUConfig())])
def test_histories_get_finite_gradients_and_the_padding_gets_none(config: NetworkConfig) -> None:
    network, entries = network_of(config), tf.constant(ENTRIES)
    called(network, VECTORS)
    for scale in (1.0, 1e4):
        with tf.GradientTape() as tape:
            tape.watch(entries)
            history = replace(history_of(QUERIES), entries=scale * entries)
            total = tf.reduce_sum(tf.square(network(scale * VECTORS, history=history)))
        gradients = tape.gradient(total, [entries, *network.trainable_variables])
        assert all(np.isfinite(tf.convert_to_tensor(each)).all() for each in gradients)
        assert np.abs(gradients[0].numpy()[PRESENT]).max() > 0
        assert not gradients[0].numpy()[~PRESENT].any()


def test_sequence_knows_the_order_of_the_history() -> None:
    network = network_of(SequenceConfig(dropout=0.0))
    turned = replace(history_of(QUERIES), entries=tf.constant(ENTRIES[:, [1, 0, 2, 3]]))
    before, after = (network(VECTORS, history=each).numpy() for each in (history_of(QUERIES), turned))
    assert (before[QUERIES == 0] != after[QUERIES == 0]).any()
    np.testing.assert_array_equal(before[QUERIES == 1], after[QUERIES == 1])  # an empty history has no order


def test_sequence_refuses_encoders_that_do_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"ranking\.dimension = 5: .*a multiple of 2"):
        RankingConfig(dimension=5, network=SequenceConfig(encoder=TransformerConfig(heads=2)))
    with pytest.raises(ConfigError, match=r"network\.encoder.*side_features"):
        SequenceConfig(encoder=TransformerConfig(side_features=True))


def test_din_needs_a_history() -> None:
    schema = Schema(query=(IdFeature(name="user_id"),), candidate=(IdFeature(name="item_id"),))
    with pytest.raises(ConfigError, match=r"ranking\.network\.kind.*din.*a feature of kind 'history'"):
        require_tasks(RankingConfig(network=DINConfig()), schema)


@pytest.mark.parametrize("rank", [0, 2])
def test_dcn_is_equation_1_or_2_beside_the_dense_layers(rank: int) -> None:
    network = network_of(DCNConfig(cross_layers=2, cross_rank=rank, hidden=(4,), dropout=0.0))
    found = network(VECTORS).numpy()
    crossed = VECTORS
    for layer in network.cross:
        *kernels, bias = (weight.numpy() for weight in layer.trainable_weights)
        product = crossed
        for kernel in kernels:
            product = product @ kernel
        crossed = VECTORS * (product + bias) + crossed
        assert len(kernels) == (2 if rank else 1)
    kernel, bias = (weight.numpy() for weight in network.hidden[0].weights)
    deep = np.maximum(VECTORS @ kernel + bias, 0.0)
    np.testing.assert_allclose(found, np.concatenate([crossed, deep], axis=1), rtol=1e-4, atol=1e-5)


def test_configuration_names_the_kind_and_its_own_options() -> None:
    read = structure({"network": {"kind": "mlp", "hidden": [8]}}, RankingConfig, "ranking")
    assert read.network == MLPConfig(hidden=(8,))
    assert structure({"network": {"kind": "dot"}}, RankingConfig).network == DotConfig()
    assert structure({"network": {"cross_layers": 1}}, RankingConfig).network == DCNConfig(cross_layers=1)
    with pytest.raises(ConfigError, match=r"ranking\.network\.cross_layers = 1: expected an option of kind 'mlp'"):
        structure({"network": {"kind": "mlp", "cross_layers": 1}}, RankingConfig, "ranking")
    with pytest.raises(ConfigError, match=r"ranking\.network\.dropout"):
        structure({"network": {"dropout": 1.0}}, RankingConfig, "ranking")
