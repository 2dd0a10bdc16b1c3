"""Batching: runs concurrent calls of one signature as one batch, by TensorFlow Serving's rules.

Handing a call over between Python threads costs about as much as a small model's whole run, so batching pays only where
a run is expensive (a large model, a GPU). Off by default, as in the real server.
"""

import bisect
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from serving.errors import Code, ServingError, from_exception, invalid_argument
from serving.models.session import Arrays


class Run(Protocol):
    """The run of the graph behind a queue."""

    def __call__(self, arrays: Arrays, timeout: float | None) -> Arrays:
        """Runs the graph on arrays, within `timeout` seconds."""
        ...

    def check_types(self, arrays: Arrays) -> None:
        """Raises ServingError for arrays of the wrong type, before they join the arrays of other calls."""
        ...


@dataclass(frozen=True, kw_only=True)
class BatchingOptions:
    """`BatchingParameters`, with the real server's defaults for unset fields."""

    max_batch_size: int = 1000
    """Maximum number of rows in a run."""
    timeout_seconds: float = 0.0
    """Time that a batch waits for more rows."""
    max_enqueued_batches: int = 10
    """Maximum number of batches that wait, for each signature of each version."""
    num_batch_threads: int = 1
    """Number of batches that run concurrently."""
    allowed_batch_sizes: tuple[int, ...] = ()
    """Sizes that a run may have; a batch is padded to the next one by repeating a row."""
    pad_variable_length_inputs: bool = False
    """Whether rows with different inner shapes are padded with zeros to the longest."""
    split_large: bool = False
    """Whether a call with more than `max_execution_batch_size` rows is split into several runs."""
    max_execution_batch_size: int = 1000
    """Maximum number of rows in a run if large calls are split."""
    thread_pool_name: str = "batch_threads"
    """Label of the metrics."""

    def __post_init__(self) -> None:
        sizes = self.allowed_batch_sizes
        if list(sizes) != sorted(set(sizes)):
            raise invalid_argument("allowed_batch_sizes entries must be in increasing order")
        if sizes and sizes[-1] != self.run_limit:
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {sizes[-1]}; expected "
                f"{self.run_limit}"
            )
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size"):
            if (value := getattr(self, name)) < 1:
                raise invalid_argument(f"{name} must be at least 1, got {value}")

    @property
    def run_limit(self) -> int:
        """Maximum number of rows in a run."""
        return self.max_execution_batch_size if self.split_large else self.max_batch_size

    @classmethod
    def from_proto(cls, parameters: Any, cpus: int) -> "BatchingOptions":
        """Reads a `BatchingParameters` message; unset fields keep their defaults, and threads default to the CPUs."""
        given = {name: getattr(parameters, name).value for name in _WRAPPED if parameters.HasField(name)}
        largest = given.get("max_batch_size", cls.max_batch_size)
        return cls(
            max_batch_size=largest,
            timeout_seconds=given.get("batch_timeout_micros", 0) / 1e6,
            max_enqueued_batches=given.get("max_enqueued_batches", cls.max_enqueued_batches),
            num_batch_threads=given.get("num_batch_threads", cpus),
            allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
            pad_variable_length_inputs=parameters.pad_variable_length_inputs,
            split_large=given.get("enable_large_batch_splitting", False),
            max_execution_batch_size=given.get("max_execution_batch_size", largest),
            thread_pool_name=given.get("thread_pool_name", cls.thread_pool_name),
        )


_WRAPPED = (
    "max_batch_size",
    "batch_timeout_micros",
    "max_enqueued_batches",
    "num_batch_threads",
    "thread_pool_name",
    "enable_large_batch_splitting",
    "max_execution_batch_size",
)


@dataclass(eq=False)
class _Task:
    arrays: Arrays
    rows: int
    deadline: float
    queued: float
    result: "Future[Arrays]" = field(default_factory=Future)


@dataclass(eq=False)
class _Batch:
    run: Run
    options: BatchingOptions
    opened: float
    tasks: list[_Task] = field(default_factory=list)
    rows: int = 0
    closed: bool = False


class BatchQueue:
    """The waiting batches of one signature of one version."""

    def __init__(self, scheduler: "BatchScheduler", options: BatchingOptions, run: Run) -> None:
        self._scheduler = scheduler
        self._options = options
        self._run = run
        self.batches: deque[_Batch] = deque()

    def __call__(self, arrays: Arrays, timeout: float | None) -> Arrays:
        """Runs the graph on arrays as part of a batch, within `timeout` seconds.

        Raises:
            ServingError: The arrays have no common first dimension or too many rows, the queue is full, or the batch
                failed.
        """
        self._run.check_types(arrays)
        rows = _common_rows(arrays)
        limit = self._options.run_limit
        if rows > self._options.max_batch_size:
            raise invalid_argument(
                f"Task size {rows} is larger than maximum input batch size {self._options.max_batch_size}"
            )
        now = time.monotonic()
        deadline = math.inf if timeout is None else now + timeout
        pieces = [arrays] if rows <= limit else [_slice(arrays, at, limit) for at in range(0, rows, limit)]
        tasks = [_Task(piece, len(piece[0]), deadline, now) for piece in pieces]
        self._scheduler.submit(self, tasks)
        results = [task.result.result() for task in tasks]
        if len(results) == 1:
            return results[0]
        return [np.concatenate(parts) for parts in zip(*results, strict=True)]

    def add(self, tasks: Sequence[_Task]) -> None:
        """Appends tasks; called by the scheduler under its lock."""
        needed = 0
        open_rows = self.batches[-1].rows if self.batches and not self.batches[-1].closed else self._options.run_limit
        for task in tasks:
            if open_rows + task.rows > self._options.run_limit:
                needed, open_rows = needed + 1, 0
            open_rows += task.rows
        if len(self.batches) + needed > self._options.max_enqueued_batches:
            raise ServingError(Code.UNAVAILABLE, "The batch scheduling queue to which this task was submitted is full")
        for task in tasks:
            last = self.batches[-1] if self.batches else None
            if last is None or last.closed or last.rows + task.rows > self._options.run_limit:
                if last is not None:
                    last.closed = True
                last = _Batch(self._run, self._options, task.queued)
                self.batches.append(last)
            last.tasks.append(task)
            last.rows += task.rows
            last.closed = last.rows >= self._options.run_limit

    def ready_at(self) -> float:
        """Time at which the first batch may run, on the monotonic clock; infinity if there is none."""
        if not self.batches:
            return math.inf
        first = self.batches[0]
        return -math.inf if first.closed else first.opened + self._options.timeout_seconds


class BatchScheduler:
    """The threads that run batches, shared by all signatures of all versions."""

    def __init__(
        self,
        threads: int,
        observe: Callable[[str, float], None] = lambda pool, seconds: None,
        count_run: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts the threads.

        Args:
            threads: Number of threads.
            observe: Called for every task that leaves its queue, with the pool's name and the seconds it waited.
            count_run: Called for every batch that runs.
        """
        self._queues: list[BatchQueue] = []
        self._changed = threading.Condition()
        self._observe = observe
        self._count_run = count_run
        self._stopped = False
        for number in range(threads):
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True).start()

    def queue(self, options: BatchingOptions, run: Run) -> BatchQueue:
        """Makes a queue for one signature of one version."""
        queue = BatchQueue(self, options, run)
        with self._changed:
            self._queues.append(queue)
        return queue

    def remove(self, queue: BatchQueue) -> None:
        """Removes an empty queue."""
        with self._changed:
            self._queues.remove(queue)

    def submit(self, queue: BatchQueue, tasks: Sequence[_Task]) -> None:
        """Appends tasks to a queue and wakes a thread."""
        with self._changed:
            queue.add(tasks)
            self._changed.notify()

    def stop(self) -> None:
        """Ends the threads after their current batches."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            batch = self._next()
            if batch is None:
                return
            for task in batch.tasks:
                self._observe(batch.options.thread_pool_name, time.monotonic() - task.queued)
            self._count_run()
            _run_batch(batch)

    def _next(self) -> _Batch | None:
        with self._changed:
            while not self._stopped:
                first = min(self._queues, key=BatchQueue.ready_at, default=None)
                wait = math.inf if first is None else first.ready_at() - time.monotonic()
                if wait <= 0 and first is not None:
                    batch = first.batches.popleft()
                    # Another batch may be ready too.
                    self._changed.notify()
                    return batch
                self._changed.wait(None if wait == math.inf else wait)
        return None


def _common_rows(arrays: Arrays) -> int:
    if any(not array.ndim for array in arrays):
        raise invalid_argument("Batching Run() input tensors must have at least one dimension.")
    sizes = {len(array) for array in arrays}
    if len(sizes) != 1:
        raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size.")
    return sizes.pop()


def _slice(arrays: Arrays, at: int, rows: int) -> Arrays:
    return [array[at : at + rows] for array in arrays]


def _run_batch(batch: _Batch) -> None:
    now = time.monotonic()
    tasks = [task for task in batch.tasks if task.deadline > now]
    for task in batch.tasks:
        if task.deadline <= now:
            late = ServingError(Code.DEADLINE_EXCEEDED, "Run() timeout exceeded while waiting in batching queue")
            task.result.set_exception(late)
    if not tasks:
        return
    try:
        arrays = [_joined(parts, batch.options) for parts in zip(*(task.arrays for task in tasks), strict=True)]
        longest = max(task.deadline for task in tasks)
        results = batch.run(arrays, None if longest == math.inf else longest - now)
        shares = _split(results, [task.rows for task in tasks], len(arrays[0]))
    except Exception as error:
        for task in tasks:
            failure = from_exception(error)
            # A new exception for each thread: a shared one would share its traceback.
            task.result.set_exception(ServingError(failure.code, failure.message))
        return
    for task, share in zip(tasks, shares, strict=True):
        task.result.set_result(share)


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
