"""Runs a batch: joins the arrays of its tasks, pads them, and splits the results."""

import bisect
import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serving.errors import Code, ServingError, from_exception
from serving.models.batching.options import BatchingOptions
from serving.models.session import Arrays


class Run(Protocol):
    """The run of the graph behind a queue."""

    def __call__(self, arrays: Arrays, timeout: float | None) -> Arrays:
        """Runs the graph on arrays, within `timeout` seconds."""
        ...

    def check_types(self, arrays: Arrays) -> None:
        """Raises ServingError for arrays of the wrong type, before they join the arrays of other calls."""
        ...


@dataclass(eq=False)
class Task:
    """A call, or a piece of a large one, that waits in a queue."""

    arrays: Arrays
    rows: int
    deadline: float
    queued: float
    result: "Future[Arrays]" = field(default_factory=Future)


@dataclass(eq=False)
class Batch:
    """Tasks that run together."""

    run: Run
    options: BatchingOptions
    opened: float
    tasks: list[Task] = field(default_factory=list)
    rows: int = 0
    closed: bool = False


def run_batch(batch: Batch) -> None:
    """Runs a batch and gives each task its rows, or its error.

    If several tasks are refused together (INVALID_ARGUMENT), each runs alone, so that only the bad ones fail.
    """
    tasks = _still_awaited(batch.tasks)
    if not tasks:
        return
    try:
        shares = _run_together(batch, tasks)
    except Exception as error:
        failure = from_exception(error)
        if len(tasks) == 1 or failure.code is not Code.INVALID_ARGUMENT:
            for task in tasks:
                # A new exception for each thread: a shared one would share its traceback.
                task.result.set_exception(ServingError(failure.code, failure.message))
            return
    else:
        for task, share in zip(tasks, shares, strict=True):
            task.result.set_result(share)
        return
    for task in tasks:
        run_batch(replace(batch, tasks=[task], rows=task.rows))


def _still_awaited(tasks: Sequence[Task]) -> list[Task]:
    """The tasks whose deadline is not over; the others get their error."""
    now = time.monotonic()
    for task in tasks:
        if task.deadline <= now:
            late = ServingError(Code.DEADLINE_EXCEEDED, "Run() timeout exceeded while waiting in batching queue")
            task.result.set_exception(late)
    return [task for task in tasks if task.deadline > now]


def _run_together(batch: Batch, tasks: Sequence[Task]) -> list[Arrays]:
    arrays = [_joined(parts, batch.options) for parts in zip(*(task.arrays for task in tasks), strict=True)]
    longest = max(task.deadline for task in tasks)
    results = batch.run(arrays, None if longest == math.inf else longest - time.monotonic())
    return _split(results, [task.rows for task in tasks], len(arrays[0]))


def _joined(parts: Sequence[NDArray[Any]], options: BatchingOptions) -> NDArray[Any]:
    if len({part.shape[1:] for part in parts}) > 1:
        if not options.pad_variable_length_inputs:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Tensors from different tasks have different shapes and padding is turned off. Set "
                "pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim.",
            )
        parts = _padded(parts)
    rows = sum(map(len, parts))
    at = bisect.bisect_left(options.allowed_batch_sizes, rows)
    fill = options.allowed_batch_sizes[at] - rows if at < len(options.allowed_batch_sizes) else 0
    if fill:
        parts = [*parts, np.repeat(parts[-1][:1], fill, axis=0)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _padded(parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    if len({part.ndim for part in parts}) > 1:
        raise ServingError(Code.FAILED_PRECONDITION, "Tensors from different tasks have different ranks")
    longest = np.max([part.shape[1:] for part in parts], axis=0)
    missing: Any = b"" if parts[0].dtype.hasobject else 0
    padded = []
    for part in parts:
        widths = [(0, 0), *((0, int(size) - have) for size, have in zip(longest, part.shape[1:], strict=True))]
        padded.append(np.pad(part, widths, constant_values=missing))
    return padded


def _split(results: Arrays, rows: list[int], total: int) -> list[Arrays]:
    if any(not result.ndim or len(result) != total for result in results):
        raise ServingError(
            Code.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        )
    ends = np.cumsum(rows).tolist()
    return [[result[end - size : end] for result in results] for end, size in zip(ends, rows, strict=True)]
