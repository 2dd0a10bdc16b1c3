"""What every way of sharing between tasks is.

A new one is a subclass in a file of its own, with a dataclass of its options and a line in
`trainer.config.ranking.MULTI_TASKS`; the contract test runs it.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from features.encoding.encoder import Tensors
from trainer.config.ranking import MultiTaskConfig
from trainer.layers.dropout import DropoutSeries
from trainer.layers.products import Dense
from trainer.ranking.networks.contract import Network

MakeNetwork: TypeAlias = Callable[[DropoutSeries], Network]
"""Makes a network of the configured kind with weights of its own."""


class MultiTask(tf.keras.layers.Layer):
    """The embedded features of a pair in, one vector a task out, which the task's last layer reads.

    Every task has a tower of its own, dense layers over what it is given of the shared part.
    """

    def __init__(
        self, config: MultiTaskConfig, tasks: Sequence[str], make_network: MakeNetwork, *, dropouts: DropoutSeries
    ) -> None:
        """Makes the towers.

        Args:
            config: Options of the kind.
            tasks: Their names.
            make_network: Makes what is shared.
            dropouts: Makes the layers that zero components in training.
        """
        super().__init__()
        self.tasks = tuple(tasks)
        self.towers = {task: [Dense(width, activation="relu") for width in config.tower] for task in tasks}

    @abstractmethod
    def shared(self, vectors: tf.Tensor, training: bool, **history: Any) -> Tensors:
        """What each task's tower reads, `[batch, width] float32` by task; arguments as of `call`."""

    def call(self, vectors: tf.Tensor, training: bool = False, **history: Any) -> Tensors:
        """What the last layers read.

        Args:
            vectors: `[batch, F * D] float32`: the embeddings of a pair.
            training: Whether dropout is on.
            history: `history`, a `History`, where the networks read it; nothing otherwise.

        Returns:
            `[batch, width] float32` by task.
        """
        found = self.shared(vectors, training, **history)
        return {task: self._through(self.towers[task], found[task]) for task in self.tasks}

    def _through(self, tower: Sequence[tf.keras.layers.Layer], values: tf.Tensor) -> tf.Tensor:
        for layer in tower:
            values = layer(values)
        return values
