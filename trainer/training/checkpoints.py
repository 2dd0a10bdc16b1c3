"""Checkpoints of a training: the last one, to resume from, and the best one, which is the trained model."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.disk.layout import StageLayout
from features.errors import InputError, RecstackError, first_line

_NAME = re.compile(r"ckpt-([0-9]+)\.index")
_UNREADABLE = (tf.errors.OpError, IndexError, ValueError, AssertionError)


class Checkpoints:
    """One directory of checkpoints; read from the run, written where this worker may write."""

    def __init__(self, checkpoint: tf.train.Checkpoint, directory: Path, own: Path, *, kept: int) -> None:
        """Saves and restores what `checkpoint` tracks.

        Args:
            checkpoint: the objects to save.
            directory: Directory of the run; read only.
            own: where this worker writes: for the chief the same directory.
            kept: how many of the newest stay.
        """
        self._checkpoint, self._directory, self._own = checkpoint, directory, own
        try:
            self._written = tf.train.CheckpointManager(checkpoint, str(own), max_to_keep=kept)
        except ValueError:  # the file that lists them is damaged; they are found by their names
            (own / "checkpoint").unlink()
            self._written = tf.train.CheckpointManager(checkpoint, str(own), max_to_keep=kept)

    def save(self, number: int) -> None:
        """Saves a checkpoint with this number, and then removes those that are too many.

        Raises:
            RecstackError: It cannot be written; those that were there stay.
        """
        try:
            self._written.save(number)
        except (tf.errors.UnavailableError, tf.errors.AbortedError):  # another worker ended
            raise
        except (tf.errors.OpError, OSError) as error:
            _remove(self._own, number)
            raise RecstackError(
                f"{self._own}: checkpoint {number} cannot be written ({_reason(error)}); the one before it stays: free "
                "some space and run the same command again, which goes on from there"
            ) from error

    def newest_sound(self, report: Callable[[str], None]) -> int | None:
        """Number of the newest checkpoint that can be read to its end; None if there is none at all.

        Args:
            report: told of each newer one that is damaged.

        Raises:
            InputError: All that are there are damaged.
        """
        numbers = saved_numbers(self._directory)
        for number in reversed(numbers):
            if (trouble := _trouble(_path(self._directory, number))) is None:
                return number
            report(f"{self._directory}: checkpoint {number} is damaged ({trouble}); trying the one before it")
        if numbers:
            raise InputError(
                f"{self._directory}: no checkpoint can be read; delete that directory and run `recstack train` again, "
                "which starts from the beginning"
            )
        return None

    def restore(self, number: int) -> None:
        """Restores the checkpoint of the run with this number."""
        self._checkpoint.restore(_path(self._directory, number))

    def remove_after(self, number: int) -> None:
        """Removes the checkpoints of this worker that are newer: they are damaged."""
        for newer in saved_numbers(self._own):
            if newer > number:
                _remove(self._own, newer)


def saved_numbers(directory: Path) -> list[int]:
    """Numbers of the checkpoints in a directory, ascending; they are read from the files' names."""
    found = (_NAME.fullmatch(path.name) for path in directory.glob("ckpt-*.index"))
    return sorted(int(match[1]) for match in found if match)


def best_checkpoints(model: tfrs.Model, layout: StageLayout, own: StageLayout) -> Checkpoints:
    """The weights of the epoch that validation liked best."""
    return Checkpoints(tf.train.Checkpoint(model=model), layout.best_checkpoints, own.best_checkpoints, kept=1)


def restore_best(model: tfrs.Model, layout: StageLayout) -> None:
    """Gives the model the weights of a finished stage.

    Raises:
        InputError: the checkpoint is missing, damaged or of another model.
    """
    numbers = saved_numbers(layout.best_checkpoints)
    if not numbers:
        raise InputError(
            f"run {layout.directory}: no checkpoint found below {layout.best_checkpoints}; run `recstack train` again"
        )
    with restoring(layout):
        path = _path(layout.best_checkpoints, numbers[-1])
        tf.train.Checkpoint(model=model).restore(path).assert_existing_objects_matched().expect_partial()


@contextmanager
def restoring(layout: StageLayout) -> Iterator[None]:
    """Says in one line what is wrong with a checkpoint that the block cannot restore.

    Raises:
        InputError: it is damaged, or of a model with other weights.
    """
    try:
        yield
    except _UNREADABLE as error:
        raise InputError(
            f"run {layout.directory}: a checkpoint cannot be restored ({first_line(error)}); delete that directory and "
            "run `recstack train` again"
        ) from error


def _path(directory: Path, number: int) -> str:
    return str(directory / f"ckpt-{number}")


def _trouble(path: str) -> str | None:
    """Why a checkpoint cannot be read; None if it can: each tensor is compared with its checksum."""
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_dtype_map():
            reader.get_tensor(name)
    except _UNREADABLE as error:
        return _reason(error)
    return None


def _reason(error: BaseException) -> str:
    text = str(error).partition("}} ")[2] or str(error)
    return text.partition(" [Op:")[0].strip().splitlines()[0]


def _remove(directory: Path, number: int) -> None:
    """Removes what there is of a checkpoint, that of an attempt to write it included."""
    for path in directory.glob(f"ckpt-{number}[._]*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
