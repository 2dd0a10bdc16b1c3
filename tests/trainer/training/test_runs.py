"""Runs side by side: no training loses one, unchanged stages are shared, and the current run changes at the end."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from features.disk.files import in_use, write_text_atomically
from features.disk.layout import RunLayout, RunsLayout, StageLayout, StageName
from features.disk.manifest import Manifest, read_manifest
from features.errors import InputError
from tests.trainer.training.test_stage_directory import files, write_dataset
from trainer.training.cluster import Cluster
from trainer.training.runs import RunInputs, make_current, opened_stage, prune_runs, run_of
from trainer.training.stage_directory import start_stage


@pytest.fixture
def runs(tmp_path: Path) -> RunsLayout:
    write_dataset(tmp_path / "dataset", "of today")
    return RunsLayout(tmp_path / "runs")


def settings(runs: RunsLayout, retrieval: str = "a", ranking: str = "a") -> RunInputs:
    """Inputs of a run by the configurations of its stages."""
    dataset = read_manifest(runs.root.parent / "dataset" / "manifest.json", "dataset").fingerprint()
    return {
        "retrieval": {"dataset": dataset, "config": f"retrieval {retrieval}"},
        "ranking": {"dataset": dataset, "config": f"ranking {ranking}"},
    }


@contextmanager
def opened(runs: RunsLayout, inputs: RunInputs, name: StageName) -> Iterator[StageLayout]:
    with opened_stage(runs, run_of(runs, inputs), name, inputs, Cluster()) as layout:
        yield layout


def train(runs: RunsLayout, inputs: RunInputs, *names: StageName, finish: bool = True) -> RunLayout:
    """What a training leaves on disk, without the training."""
    run = run_of(runs, inputs)
    for name in names:
        with opened(runs, inputs, name) as layout:
            start(runs, layout, inputs[name])
            (layout.best_checkpoints / "ckpt-1.index").write_text("best")
            (layout.last_checkpoints / "ckpt-9.index").write_text("last")
            if finish:
                Manifest(kind="run", schema_fingerprint="s", inputs=inputs[name]).write(layout.manifest)
    return run


def start(runs: RunsLayout, layout: StageLayout, inputs: Mapping[str, str]) -> None:
    from features.disk.layout import DatasetLayout

    start_stage(layout, inputs, DatasetLayout(runs.root.parent / "dataset"))
    for directory in (layout.best_checkpoints, layout.last_checkpoints):
        directory.mkdir(parents=True, exist_ok=True)


def test_equal_inputs_have_the_same_run(runs: RunsLayout) -> None:
    assert run_of(runs, settings(runs)) == run_of(runs, dict(reversed(settings(runs).items())))
    assert run_of(runs, settings(runs)) != run_of(runs, settings(runs, ranking="b"))


def test_changed_inputs_leave_the_former_run_as_it_was(runs: RunsLayout) -> None:
    former = train(runs, settings(runs), "retrieval", "ranking")
    before = files(former.root)
    new = train(runs, settings(runs, "b", "b"), "retrieval", "ranking")
    assert new != former
    assert files(former.root) == before


def test_current_moves_when_the_new_run_has_all_stages(runs: RunsLayout) -> None:
    former = train(runs, settings(runs), "retrieval", "ranking")
    assert make_current(runs, former) == ()
    assert runs.current == former
    new = train(runs, settings(runs, "b", "b"), "retrieval")
    assert make_current(runs, new) == ("ranking",)
    assert runs.current == former
    train(runs, settings(runs, "b", "b"), "ranking")
    assert make_current(runs, new) == ()
    assert runs.current == new
    # Back to settings that were trained before: that run is current again.
    assert make_current(runs, former) == ()
    assert runs.current_file.read_text() == f"{former.id}\n"


def test_one_stage_is_enough_where_no_more_was_ever_trained(runs: RunsLayout) -> None:
    make_current(runs, train(runs, settings(runs), "retrieval"))
    new = train(runs, settings(runs, "b"), "retrieval")
    assert make_current(runs, new) == ()
    assert runs.current == new


def test_a_current_run_that_is_gone_is_none(runs: RunsLayout) -> None:
    runs.root.mkdir()
    for text in ("abcdef\n", "", "../dataset", "."):
        write_text_atomically(runs.current_file, text)
        assert runs.current is None, text


def test_a_directory_in_the_place_of_current_is_refused_before_the_training(runs: RunsLayout) -> None:
    runs.current_file.mkdir(parents=True)
    with pytest.raises(InputError, match=r"a directory found; move it away"):
        train(runs, settings(runs), "retrieval")
    with pytest.raises(InputError, match="a file with the id of a run expected"):
        assert runs.current
    assert runs.all() == []


@pytest.mark.parametrize("finish", [True, False])
def test_an_unchanged_stage_comes_along(runs: RunsLayout, finish: bool) -> None:
    former = train(runs, settings(runs), "retrieval", finish=finish)
    inputs = settings(runs, ranking="b")
    new = train(runs, inputs, "ranking")
    adopted, source = new.stage("retrieval"), former.stage("retrieval")
    assert adopted.manifest.exists() == finish
    assert (adopted.last_checkpoints / "ckpt-9.index").samefile(source.last_checkpoints / "ckpt-9.index")
    assert (adopted.dataset.vocabulary("item_id")).read_text() == "of today\n"
    # The two share files, but what one writes anew is not the other's.
    before = files(source.directory)
    write_text_atomically(adopted.metrics, "{}")
    (adopted.last_checkpoints / "ckpt-9.index").unlink()
    assert files(source.directory) == before


def test_a_finished_stage_comes_before_an_interrupted_one(runs: RunsLayout) -> None:
    train(runs, settings(runs, ranking="b"), "retrieval", finish=False)
    finished = train(runs, settings(runs, ranking="c"), "ranking")
    layout = finished.stage("retrieval")  # it came along, and is trained to its end here
    Manifest(kind="run", schema_fingerprint="s", inputs=settings(runs)["retrieval"]).write(layout.manifest)
    assert train(runs, settings(runs, ranking="d"), "ranking").finished() == ("retrieval", "ranking")


def test_a_stage_that_is_being_trained_does_not_come_along(runs: RunsLayout) -> None:
    inputs = settings(runs)
    train(runs, inputs, "retrieval", finish=False)
    with opened(runs, inputs, "retrieval"):
        new = train(runs, settings(runs, ranking="b"), "ranking")
    assert not new.stage("retrieval").directory.exists()


def test_of_two_trainings_at_once_the_second_is_refused(runs: RunsLayout) -> None:
    inputs = settings(runs)
    with opened(runs, inputs, "retrieval"):
        with pytest.raises(InputError, match="another `recstack train` is running"), opened(runs, inputs, "retrieval"):
            pass
        # The other stage, or another run, may be trained meanwhile.
        train(runs, inputs, "ranking")
        train(runs, settings(runs, "b"), "retrieval")


def aged(run: RunLayout, hours: int) -> RunLayout:
    os.utime(run.root, (run.root.stat().st_mtime - 3600 * hours,) * 2)
    return run


def test_the_newest_runs_and_the_current_one_are_kept(runs: RunsLayout) -> None:
    by_age = [aged(train(runs, settings(runs, str(hours)), "retrieval"), hours) for hours in range(5)]
    make_current(runs, by_age[4])
    reports: list[str] = []
    prune_runs(runs, 2, reports.append)
    assert {run.id for run in runs.all()} == {by_age[n].id for n in (0, 1, 4)}
    assert sorted(reports) == sorted(f"removed run {by_age[n].id} (keep_runs = 2)" for n in (2, 3))
    assert {path.name for path in runs.root.iterdir()} == {"current", *(by_age[n].id for n in (0, 1, 4))}


def test_runs_that_are_served_are_kept_beside_the_newest(runs: RunsLayout) -> None:
    by_age = [aged(train(runs, settings(runs, str(hours)), "retrieval"), hours) for hours in range(5)]
    make_current(runs, by_age[0])
    prune_runs(runs, 1, print, served=[by_age[4], by_age[0]])
    assert {run.id for run in runs.all()} == {by_age[n].id for n in (0, 1, 4)}


def test_a_run_that_has_just_been_opened_is_the_newest(runs: RunsLayout) -> None:
    """Its stages may all have come along from an older run."""
    oldest = aged(train(runs, settings(runs), "retrieval"), 9)
    make_current(runs, aged(train(runs, settings(runs, "b", "b"), "retrieval"), 8))
    inputs = settings(runs, ranking="c")
    with opened(runs, inputs, "retrieval"):
        pass
    prune_runs(runs, 1, print)
    assert oldest not in runs.all()
    assert run_of(runs, inputs) in runs.all()
    # So is one that was found finished.
    with opened(runs, settings(runs, "b", "b"), "retrieval"):
        pass
    make_current(runs, run_of(runs, inputs))
    prune_runs(runs, 1, print)
    assert len(runs.all()) == 2


def test_a_run_that_is_trained_or_read_is_not_removed(runs: RunsLayout) -> None:
    read, trained, new = (aged(train(runs, settings(runs, f"{n}"), "retrieval"), 9 - n) for n in range(3))
    make_current(runs, new)
    with in_use(read.root), opened(runs, settings(runs, "1"), "retrieval"):
        prune_runs(runs, 0, print)
        assert runs.all() == sorted([read, trained, new], key=lambda run: run.id)
    prune_runs(runs, 0, print)
    assert runs.all() == [new]


def test_what_a_killed_removal_left_is_removed(runs: RunsLayout) -> None:
    run = train(runs, settings(runs), "retrieval")
    make_current(runs, run)
    (runs.root / ".removed.tmp-99999999-x").mkdir()
    assert runs.all() == [run]
    prune_runs(runs, 2, print)
    assert {path.name for path in runs.root.iterdir()} == {"current", run.id}
