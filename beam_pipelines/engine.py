"""Runs a pass: one function over many tasks on Beam's workers, each of which writes a report.

Beam's elements are tasks (paths, partition numbers), never rows. The work inside a task is columnar, so Beam's cost per
element, which dominates row-wise pipelines, is paid once per million rows or so. A task writes its files and its report
under temporary names and renames them, so a retry changes nothing.
"""

import errno
import json
import os
import re
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from beam_pipelines.workspace import Workspace, write_text
from features.errors import InputError, RecstackError, first_line
from features.serialization import structure, unstructure

_CONNECT_SECONDS = 10
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# How Beam words what a worker raised, at the end of the worker's traceback.
_RAISED = re.compile(r"^(?:RuntimeError: )?([\w.]+: .*) \[while running '[^']*'\]", re.MULTILINE)

T = TypeVar("T")
R = TypeVar("R")


class RunTask(beam.DoFn, Generic[T, R]):
    """Runs the tasks of a bundle. Writes the report of each, or the error that it raised.

    Tasks run in threads: Arrow, NumPy and gzip release the interpreter lock, and processes take seconds to start.
    """

    def __init__(self, name: str, work: Callable[[T], R], engine: "Engine") -> None:
        self._name = name
        self._work = work
        self._workspace = engine.workspace
        self._num_threads = engine.num_threads

    def setup(self) -> None:
        """Starts the threads."""
        self._pool = ThreadPoolExecutor(self._num_threads, self._name)

    def start_bundle(self) -> None:
        """Begins with no running tasks."""
        self._running: list[Future[None]] = []

    def process(self, element: tuple[int, T], *_args: Any, **_kwargs: Any) -> None:
        """Starts a numbered task.

        Args:
            element: the task's number and the task.
        """
        self._running.append(self._pool.submit(self._run, *element))

    def finish_bundle(self) -> None:
        """Waits for the bundle's tasks: Beam considers a bundle finished when this returns."""
        try:
            for task in self._running:
                task.result()
        except KeyboardInterrupt:
            self._pool.shutdown(wait=False, cancel_futures=True)
            raise

    def teardown(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)

    def _run(self, number: int, task: T) -> None:
        try:
            report = json.dumps(self._report(task))
            write_text(self._workspace.result(self._name, number), report)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            # There may be no space left to write a report; the launcher notices that it is missing.

    def _report(self, task: T) -> dict[str, Any]:
        try:
            return {"report": unstructure(self._work(task))}
        except InputError as error:
            # A retry would not mend a bad input, so Beam must not see an error.
            return {"mistake": str(error)}
        except RecstackError as error:
            return {"failure": str(error)}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where passes run and where they write their reports."""

    workspace: Workspace
    """Folder that all workers can access."""
    num_workers: int = 0
    """Tasks run in parallel on this machine; 0: one per core."""
    runner: str = "local"
    """One of `config.RUNNERS`."""
    runner_options: tuple[str, ...] = ()
    """Beam's options for it."""

    @property
    def num_threads(self) -> int:
        """Tasks that a worker runs in parallel; on a cluster the runner decides how many workers there are."""
        return (self.num_workers or os.cpu_count() or 1) if self.runner == "local" else 1


def run_pass(name: str, work: Callable[[T], R], tasks: Sequence[T], *, report: type[R], engine: Engine) -> list[R]:
    """Runs a pass and waits for it.

    Args:
        name: Name of the pass, shown by the runner.
        work: a module-level function, or a `functools.partial` of one; runs on the workers.
        tasks: its arguments, one per call.
        report: class of its return value.
        engine: where it runs.

    Returns:
        The reports in the order of the tasks.

    Raises:
        InputError: a task found the input invalid.
        RecstackError: a task or the runner failed.
    """
    try:
        with new_pipeline(name, engine, mode="in_memory") as pipeline:
            (
                pipeline
                # Spreads the tasks over the workers of a cluster; on one machine it would only copy them.
                | "tasks" >> beam.Create(list(enumerate(tasks)), reshuffle=engine.runner != "local")
                | name >> beam.ParDo(RunTask(name, work, engine))
            )
    except RecstackError:
        raise
    except Exception as error:
        if _is_interrupt(error):
            raise KeyboardInterrupt from error
        raise RecstackError(f"{name}: {_cause(error)}") from error
    return [_read_report(engine.workspace, name, number, report) for number in range(len(tasks))]


def _is_interrupt(error: BaseException) -> bool:
    """Whether the runner wrapped a KeyboardInterrupt into an error of its own."""
    return str(error).startswith(KeyboardInterrupt.__name__)


def new_pipeline(name: str, engine: Engine, *, mode: str = "multi_threading") -> beam.Pipeline:
    """An empty pipeline for the engine's runner; it runs when its `with` block ends.

    Args:
        name: Name of the job.
        engine: where it runs.
        mode: Mode of Beam's local runner: `multi_threading`, or `in_memory` for transforms that run threads themselves.
    """
    if engine.runner == "local":
        workers = engine.num_threads if mode == "multi_threading" else 1
        options = PipelineOptions([], direct_running_mode=mode, direct_num_workers=workers)
        return beam.Pipeline(runner=FnApiRunner(), options=options)
    runner = f"{engine.runner.title()}Runner"
    options = PipelineOptions(["--job_name", f"recstack-{name}", *engine.runner_options, "--runner", runner])
    _require_job_service(options.view_as(PortableOptions).job_endpoint)
    return beam.Pipeline(options=options)


def _require_job_service(endpoint: str | None) -> None:
    """Fails if no job service answers; Beam itself would wait for ever."""
    if not endpoint:
        return
    host, _, port = endpoint.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise RecstackError(f"--job_endpoint={endpoint}: no job service answers ({error}); start it first") from error


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    if raised := _RAISED.findall(str(error)):
        return str(raised[-1])
    return f"{type(error).__name__}: {first_line(error)}"


def _read_report(workspace: Workspace, name: str, number: int, report: type[R]) -> R:
    path = workspace.result(name, number)
    if not path.exists():
        raise RecstackError(
            f"{name}: no report of task {number} below {workspace.root.parent.parent}: no space is left there, or not "
            "all workers see that folder; mend that and run again"
        )
    data = json.loads(path.read_text("utf-8"))
    if "mistake" in data:
        raise InputError(data["mistake"])
    if "failure" in data:
        raise RecstackError(data["failure"])
    return structure(data["report"], report)
