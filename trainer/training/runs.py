"""Runs side by side: equal inputs have equal ids, unchanged stages are shared, and one run is the current one."""

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeAlias

from features.disk.files import (
    exclusive,
    link_tree,
    remove_leftovers,
    staged_directory,
    temporary_sibling,
    write_text_atomically,
)
from features.disk.layout import RunLayout, RunsLayout, StageLayout, StageName
from features.errors import InputError
from features.schema import fingerprint
from trainer.training.cluster import Cluster
from trainer.training.stage_directory import finished_stage, was_started_with

RunInputs: TypeAlias = Mapping[StageName, Mapping[str, str]]
"""Of each stage of a run."""

_WORK = "recstack train"
# A name that no run has, and that `remove_leftovers` knows.
_REMOVED_NAME = "removed"


def run_of(runs: RunsLayout, inputs: RunInputs) -> RunLayout:
    """The run of these inputs; equal inputs have the same run, so that it is found again without a search."""
    return runs.run(fingerprint({name: dict(of_stage) for name, of_stage in inputs.items()}))


@contextmanager
def opened_stage(
    runs: RunsLayout, run: RunLayout, name: StageName, inputs: RunInputs, cluster: Cluster
) -> Iterator[StageLayout]:
    """Holds one stage of a run for training; what other runs have of the same inputs is linked into the run first.

    Raises:
        InputError: another process trains the stage, or the directory cannot be made.
    """
    layout = run.stage(name)
    if runs.current_file.is_dir():
        raise InputError(f"{runs.current_file}: a file with the id of a run expected, a directory found; move it away")
    with ExitStack() as held:
        # Within this lock no run is removed, so that none is between being found and being locked.
        with cluster.exclusive(runs.root, _WORK, wait=True):
            if cluster.is_chief:
                _adopt_stages(runs, run, inputs)
            held.enter_context(cluster.exclusive(layout.directory, _WORK))
            if cluster.is_chief:
                os.utime(run.root)  # its age, for `prune_runs`
        yield layout


def make_current(runs: RunsLayout, run: RunLayout) -> tuple[StageName, ...]:
    """Lets `runs/current` name the run, unless the current one has trained stages that this run has not.

    Returns:
        The stages that the run still lacks, in which case the current run stays; none if the run is now current.
    """
    with exclusive(runs.root, _WORK, wait=True):
        current = runs.current
        missing = () if current is None else tuple(name for name in current.finished() if name not in run.finished())
        if not missing and current != run:
            write_text_atomically(runs.current_file, f"{run.id}\n")
    return missing


def prune_runs(runs: RunsLayout, keep: int, report: Callable[[str], None], served: Collection[RunLayout] = ()) -> None:
    """Removes all runs but the current one, those that are served and the last used `keep` others.

    A run that is being trained, judged or exported stays.

    Args:
        runs: all runs.
        keep: how many other runs stay.
        report: told of each run that is removed.
        served: runs whose models are served.
    """
    remove_leftovers(runs.root / _REMOVED_NAME)
    removed = []
    with exclusive(runs.root, _WORK, wait=True):
        others = [run for run in runs.all() if run != runs.current and run not in served]
        others.sort(key=_last_opened, reverse=True)
        for run in others[keep:]:
            with suppress(InputError):  # in use
                removed.append(_put_aside(runs, run))
                report(f"removed run {run.id} (keep_runs = {keep})")
    for path in removed:
        shutil.rmtree(path)


def remove_run(runs: RunsLayout, run: RunLayout) -> None:
    """Removes a run that is not the current one; one that is being trained, judged or exported stays."""
    with exclusive(runs.root, _WORK, wait=True):
        if run == runs.current or not run.root.is_dir():
            return
        try:
            removed = _put_aside(runs, run)
        except InputError:  # in use
            return
    shutil.rmtree(removed)


def _adopt_stages(runs: RunsLayout, run: RunLayout, inputs: RunInputs) -> None:
    """Links stages of the same inputs from other runs, finished or interrupted; where links fail, copies them."""
    others = [other for other in runs.all() if other != run]
    for name, wanted in inputs.items():
        target = run.stage(name)
        if target.directory.exists():
            continue
        sources = [other.stage(name) for other in others if was_started_with(other.stage(name), wanted)]
        finished = [source for source in sources if finished_stage(source, wanted) is not None]
        for source in finished or sources:
            # Of those that are interrupted, not one that goes on at this moment.
            with suppress(InputError), nullcontext() if finished else exclusive(source.directory, _WORK):
                _link_stage(source, target)
                break


def _link_stage(source: StageLayout, target: StageLayout) -> None:
    with staged_directory(target.directory) as staging:
        for path in source.directory.iterdir():
            link_tree(path, staging / path.name)


def _put_aside(runs: RunsLayout, run: RunLayout) -> Path:
    """Renames a run, so that nobody finds it half removed.

    Raises:
        InputError: a process trains in it or reads it.
    """
    aside = temporary_sibling(runs.root / _REMOVED_NAME)
    with ExitStack() as held:
        for directory in (run.root, *(path for path in run.root.iterdir() if path.is_dir())):
            held.enter_context(exclusive(directory, _WORK))
        run.root.rename(aside)
    return aside


def _last_opened(run: RunLayout) -> float:
    """When a training last opened the run, in seconds since 1970."""
    return run.root.stat().st_mtime
