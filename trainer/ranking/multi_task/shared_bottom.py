"""One network for all tasks (Caruana, "Multitask Learning", 1997)."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.ranking import SharedBottomConfig
from trainer.layers.dropout import DropoutSeries
from trainer.ranking.multi_task.contract import MakeNetwork, MultiTask


class SharedBottom(MultiTask):
    """y_k = h_k(f(x)) (Eq. 1 of https://dl.acm.org/doi/10.1145/3219819.3220007): f is the network, h_k the tower."""

    def __init__(
        self, config: SharedBottomConfig, tasks: Sequence[str], make_network: MakeNetwork, *, dropouts: DropoutSeries
    ) -> None:
        """Makes the network."""
        super().__init__(config, tasks, make_network, dropouts=dropouts)
        self.network = make_network(dropouts)

    def shared(self, vectors: tf.Tensor, training: bool, **history: Any) -> Tensors:
        """The same for each task."""
        return dict.fromkeys(self.tasks, self.network(vectors, training=training, **history))
