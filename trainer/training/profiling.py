"""What a step spends its time on: a trace of ten steps for TensorBoard, and one line about them."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from trainer.data.batches import Batch
from trainer.training.progress import Report

# The first steps compile, and fill the queues of the input.
_FIRST, _STEPS = 10, 10


class ProfiledSteps:
    """Makes the steps of a training, of which it traces the tenth to the nineteenth."""

    def __init__(
        self,
        step: Callable[[Batch], None],
        prefixes: Mapping[str, Callable[[Batch], tf.Tensor]],
        directory: Path,
        report: Report,
    ) -> None:
        """Takes what a step is made of.

        Args:
            step: Makes one step.
            prefixes: By the name of a part, a function that runs a step up to the end of that part. It changes no
                weight and returns a number that depends on all of it.
            directory: of TensorBoard's files.
            report: told the parts of a step.
        """
        self._step, self._prefixes, self._directory, self._report = step, prefixes, directory, report
        self._made, self._waited, self._stepped = 0, 0.0, 0.0
        self._ended = time.perf_counter()

    def __call__(self, batch: Batch) -> None:
        """Makes the next step."""
        if self._made == _FIRST:
            tf.profiler.experimental.start(str(self._directory))
        is_traced = _FIRST <= self._made < _FIRST + _STEPS
        started = time.perf_counter()
        if is_traced:
            with tf.profiler.experimental.Trace("step", step_num=self._made, _r=1):
                self._step(batch)
            tf.test.experimental.sync_devices()
            self._waited += started - self._ended
            self._stepped += time.perf_counter() - started
        else:
            self._step(batch)
        self._made += 1
        if self._made == _FIRST + _STEPS:
            tf.profiler.experimental.stop()
            self._report(self._line(batch))
        self._ended = time.perf_counter()

    def _line(self, batch: Batch) -> str:
        parts, before = {"waiting for input": self._waited}, 0.0
        for name, prefix in self._prefixes.items():
            until = _seconds(prefix, batch)
            parts[name], before = max(0.0, until - before), max(before, until)
        parts["update"] = max(0.0, self._stepped - before)
        shares = ", ".join(f"{name} {1000 * seconds / _STEPS:.1f} ms" for name, seconds in parts.items())
        total = 1000 * (self._waited + self._stepped) / _STEPS
        return f"a step takes {total:.1f} ms: {shares}; `tensorboard --logdir {self._directory}` shows the trace"


def _seconds(prefix: Callable[[Batch], tf.Tensor], batch: Batch) -> float:
    """Of as many calls as steps were traced."""
    prefix(batch).numpy()  # compiles
    started = time.perf_counter()
    for _ in range(_STEPS):
        prefix(batch).numpy()
    return time.perf_counter() - started
