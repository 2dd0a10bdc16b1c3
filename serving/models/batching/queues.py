"""The queues of waiting calls, and the threads that run them in batches."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from serving.errors import Code, ServingError, invalid_argument
from serving.models.batching.options import BatchingOptions
from serving.models.batching.runs import Batch, Run, Task, run_batch
from serving.models.session import Arrays


class BatchQueue:
    """The waiting batches of one signature of one version."""

    def __init__(self, scheduler: "BatchScheduler", options: BatchingOptions, run: Run) -> None:
        self._scheduler = scheduler
        self._options = options
        self._run = run
        self.batches: deque[Batch] = deque()

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
        tasks = [Task(piece, len(piece[0]), deadline, now) for piece in pieces]
        self._scheduler.submit(self, tasks)
        results = [task.result.result() for task in tasks]
        if len(results) == 1:
            return results[0]
        return [np.concatenate(parts) for parts in zip(*results, strict=True)]

    def add(self, tasks: Sequence[Task]) -> None:
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
                last = Batch(self._run, self._options, task.queued)
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

    def submit(self, queue: BatchQueue, tasks: Sequence[Task]) -> None:
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
            run_batch(batch)

    def _next(self) -> Batch | None:
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
