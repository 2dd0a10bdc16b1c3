from pathlib import Path

import pytest

from beam_pipelines.engine import Engine, run_pass
from beam_pipelines.passes.profile_facts import Presence
from beam_pipelines.workspace import Workspace
from features.errors import RecstackError


def interrupt(task: int) -> Presence:
    raise KeyboardInterrupt


def fail(task: int) -> Presence:
    raise RuntimeError(f"task {task}")


def run(work, root: Path) -> list[Presence]:
    return run_pass("read", work, [1, 2, 3], report=Presence, engine=Engine(workspace=Workspace(root)))


def test_an_interrupt_stays_one_whatever_the_engine_makes_of_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(interrupt, tmp_path)


def test_other_errors_name_the_pass(tmp_path: Path) -> None:
    with pytest.raises(RecstackError, match=r"^read: .*task 1"):
        run(fail, tmp_path)
