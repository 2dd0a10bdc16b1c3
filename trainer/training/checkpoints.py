"""Checkpoints of a training: the last one, to resume from, and the best one, which is the trained model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.disk.layout import StageLayout
from features.errors import InputError


class Checkpoints:
    """One directory of checkpoints that keeps the newest; read from the run, written where this worker may write."""

    def __init__(self, checkpoint: tf.train.Checkpoint, directory: Path, own: Path) -> None:
        """Saves and restores what `checkpoint` tracks.

        Args:
            checkpoint: the objects to save.
            directory: Directory of the run; read only.
            own: where this worker writes: for the chief the same directory.
        """
        self._checkpoint, self._directory = checkpoint, directory
        self._written = tf.train.CheckpointManager(checkpoint, str(own), max_to_keep=1)

    def save(self, number: int) -> None:
        """Saves a checkpoint with this number and removes the one before it."""
        self._written.save(number)

    def restore(self) -> None:
        """Restores the run's checkpoint if it has one."""
        # Made anew, since the chief may have written since.
        tf.train.CheckpointManager(self._checkpoint, str(self._directory), max_to_keep=1).restore_or_initialize()


def best_checkpoints(model: tfrs.Model, layout: StageLayout, own: StageLayout) -> Checkpoints:
    """The weights of the epoch that validation liked best."""
    return Checkpoints(tf.train.Checkpoint(model=model), layout.best_checkpoints, own.best_checkpoints)


def restore_best(model: tfrs.Model, layout: StageLayout) -> None:
    """Gives the model the weights of a finished stage.

    Raises:
        InputError: the checkpoint is missing, damaged or of another model.
    """
    checkpoint = tf.train.Checkpoint(model=model)
    path = tf.train.CheckpointManager(checkpoint, str(layout.best_checkpoints), max_to_keep=1).latest_checkpoint
    if path is None:
        raise InputError(
            f"run {layout.directory}: no checkpoint found below {layout.best_checkpoints}; run `recstack train` again"
        )
    with restoring(layout):
        checkpoint.restore(path).assert_existing_objects_matched().expect_partial()


@contextmanager
def restoring(layout: StageLayout) -> Iterator[None]:
    """Says in one line what is wrong with a checkpoint that the block cannot restore.

    Raises:
        InputError: it is damaged, or of a model with other weights.
    """
    try:
        yield
    except (tf.errors.OpError, IndexError, ValueError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"run {layout.directory}: a checkpoint cannot be restored ({reason}); delete that directory and run "
            "`recstack train` again"
        ) from error
