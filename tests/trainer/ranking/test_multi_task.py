"""Every way of sharing between tasks passes one contract; each against its formula."""

import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.serialization import structure
from trainer.config.ranking import (
    MULTI_TASKS,
    NETWORKS,
    MLPConfig,
    MMoEConfig,
    MultiTaskConfig,
    RankingConfig,
    SharedBottomConfig,
)
from trainer.layers.dropout import DropoutSeries
from trainer.ranking.multi_task.contract import MultiTask

TASKS = ("liked", "bought")
VECTORS = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)


def sharing_of(config: MultiTaskConfig, *, dropout: float = 0.0) -> MultiTask:
    tf.keras.utils.set_random_seed(1)
    network = MLPConfig(hidden=(4,), dropout=dropout)

    def make_network(series: DropoutSeries):
        return NETWORKS.implementation(network)(network, num_features=3, dimension=2, dropouts=series)

    series = DropoutSeries(step=tf.Variable(0, dtype=tf.int64, trainable=False))
    made: MultiTask = MULTI_TASKS.implementation(config)(config, TASKS, make_network, dropouts=series)
    return made


def dense(layer: tf.keras.layers.Layer, values: np.ndarray) -> np.ndarray:
    kernel, bias = (weight.numpy() for weight in layer.weights)
    return np.maximum(values @ kernel + bias, 0.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_shared_bottom_is_equation_1() -> None:
    sharing = sharing_of(SharedBottomConfig(tower=(3, 2)))
    found = sharing(VECTORS)
    (layer,) = sharing.network.hidden
    for task in TASKS:
        first, second = sharing.towers[task]
        np.testing.assert_allclose(
            found[task], dense(second, dense(first, dense(layer, VECTORS))), rtol=1e-5, atol=1e-6
        )


def test_mmoe_is_equations_6_and_7() -> None:
    sharing = sharing_of(MMoEConfig(experts=3, tower=(3,)))
    found = sharing(VECTORS)
    said = np.stack([dense(expert.hidden[0], VECTORS) for expert in sharing.experts], axis=1)
    assert (said[:, 0] != said[:, 1]).any()
    for task in TASKS:
        gate = softmax(VECTORS @ sharing.gates[task].kernel.numpy())
        mixed = np.einsum("be,bew->bw", gate, said)
        np.testing.assert_allclose(found[task], dense(sharing.towers[task][0], mixed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MULTI_TASKS.names)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e6])
def test_extreme_inputs_have_finite_outputs_and_gradients(kind: str, scale: float) -> None:
    sharing = sharing_of(MULTI_TASKS.options(kind)())
    sharing(VECTORS)
    with tf.GradientTape() as tape:
        total = tf.add_n([tf.reduce_sum(values) for values in sharing(scale * VECTORS).values()])
    assert np.isfinite(total)
    assert all(np.isfinite(each).all() for each in tape.gradient(total, sharing.trainable_variables))


@pytest.mark.parametrize("kind", MULTI_TASKS.names)
def test_a_task_trains_what_is_shared_and_its_own_part_alone(kind: str) -> None:
    sharing = sharing_of(MULTI_TASKS.options(kind)(tower=(3,)))
    sharing(VECTORS)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(sharing(VECTORS)["liked"]))
    gradients = dict(
        zip([id(w) for w in sharing.trainable_variables], tape.gradient(loss, sharing.trainable_variables), strict=True)
    )
    own = [*sharing.towers["bought"][0].weights, *(sharing.gates["bought"].weights if kind == "mmoe" else [])]
    assert all(gradients[id(weight)] is None for weight in own)
    others = {id(weight) for weight in own}
    assert all(gradients[id(w)] is not None for w in sharing.trainable_variables if id(w) not in others)


def test_experts_have_masks_of_their_own() -> None:
    sharing = sharing_of(MMoEConfig(experts=2), dropout=0.5)
    first, second = (expert.dropout(tf.ones([50]), training=True).numpy() for expert in sharing.experts)
    assert (first != second).any()


def test_configuration_names_the_kind_and_its_own_options() -> None:
    read = structure({"multi_task": {"kind": "mmoe", "experts": 3, "tower": [8]}}, RankingConfig, "ranking")
    assert read.multi_task == MMoEConfig(experts=3, tower=(8,))
    assert RankingConfig().multi_task == SharedBottomConfig()
    with pytest.raises(ConfigError, match=r"multi_task\.experts = 1: expected at least 2"):
        structure({"multi_task": {"kind": "mmoe", "experts": 1}}, RankingConfig, "ranking")
    with pytest.raises(ConfigError, match=r"multi_task\.tower"):
        structure({"multi_task": {"tower": [0]}}, RankingConfig, "ranking")
