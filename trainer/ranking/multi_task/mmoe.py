"""Multi-gate mixture of experts (Ma et al., KDD 2018, https://dl.acm.org/doi/10.1145/3219819.3220007)."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.ranking import MMoEConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.products import Dense
from trainer.ranking.multi_task.contract import MakeNetwork, MultiTask

_SEEDS_AN_EXPERT = 20


class MMoE(MultiTask):
    """y_k = h_k(f^k(x)), f^k(x) = sum_i g^k(x)_i f_i(x) (Eq. 6): f_i are networks, h_k is the tower of task k.

    The gate of a task is g^k(x) = softmax(W_k x) (Eq. 7) over the embeddings x, so that each pair and each task has
    experts of its own.
    """

    def __init__(
        self, config: MMoEConfig, tasks: Sequence[str], make_network: MakeNetwork, *, dropouts: DropoutSeries
    ) -> None:
        """Makes the experts, whose dropout differs, and the gates."""
        super().__init__(config, tasks, make_network, dropouts=dropouts)
        series = [dropouts.later(_SEEDS_AN_EXPERT * number) for number in range(config.experts)]
        self.experts = [make_network(each) for each in series]
        self.gates = {task: Dense(config.experts, activation="softmax", use_bias=False) for task in tasks}

    def shared(self, vectors: tf.Tensor, training: bool, **history: Any) -> Tensors:
        """Mixes the experts for each task."""
        said = tf.stack([expert(vectors, training=training, **history) for expert in self.experts], axis=1)
        return {task: tf.einsum("be,bew->bw", self.gates[task](vectors), said) for task in self.tasks}
