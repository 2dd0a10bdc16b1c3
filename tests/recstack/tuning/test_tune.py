"""Searches that train, on the checkerboard: killed in the middle, by two workers at once, and refused."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from optuna.trial import TrialState

from features.disk.layout import StageName
from features.errors import ConfigError, InputError
from recstack import stages
from recstack.__main__ import main
from recstack.config import StackConfig, load_config
from recstack.retraining.registry import registered_runs
from recstack.tuning.searched import SEARCHED
from recstack.tuning.searched.retrieval import RETRIEVAL
from recstack.tuning.settings import LogFacts
from recstack.tuning.space import Space
from recstack.tuning.study import open_study, results
from recstack.tuning.tune import Budget, _identity, tune
from trainer.config.negatives import CrossBatchConfig
from trainer.stage import stages_of

PATIENCE_SECONDS = 240.0


@pytest.fixture
def stack(checkerboard: StackConfig, tmp_path: Path) -> StackConfig:
    """A copy of the checkerboard recommender with its trained run."""
    for part in ("dataset", "runs"):
        shutil.copytree(checkerboard.workdir / part, tmp_path / "work" / part)
    return replace(checkerboard, workdir=tmp_path / "work")


@pytest.fixture
def config(stack: StackConfig, tmp_path: Path) -> Path:
    path = tmp_path / "stack.toml"
    path.write_text(stack.to_toml(), "utf-8")
    return path


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--minutes", "0"], "--minutes 0: expected a positive number"),
        (["--minutes", "-5"], "--minutes -5"),
        (["--workers", "0"], "--workers 0: expected at least 1"),
        (["--trials", "-1"], "--trials -1"),
        (["--strategy", "multi_worker_mirrored"], "`--workers` trains trials side by side"),
        (["--strategy", "tpu"], "`--workers` trains trials side by side"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(
    config: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--config", str(config), *flags]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "recstack tune: " in line]
    assert words in line


def test_a_dataset_without_validation_is_refused(stack: StackConfig) -> None:
    manifest = json.loads(stack.layout.dataset.manifest.read_text("utf-8"))
    manifest["counts"]["positives_validation"] = 0
    stack.layout.dataset.manifest.write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(InputError, match=r"validation split, which has no positive events; set pipeline\.split"):
        tune(stack, RETRIEVAL, stack.to_toml(), Budget(minutes=1), lambda study, gone: None, print)


def test_without_a_dataset_the_command_that_makes_one_is_named(
    stack: StackConfig, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(stack.layout.dataset.root)
    assert main(["tune", "--config", str(config)]) == 2
    assert "run `recstack prepare`" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_is_killed_goes_on_and_its_result_is_trained(
    stack: StackConfig, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = stack.layout.current_run
    command = [sys.executable, "-m", "recstack", "tune", "--config", str(config), "--minutes", "30"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until(lambda: len(_trials(stack)) >= 2)
        assert main(command[3:]) == 2
        assert "another `recstack tune` is running there; wait until it ends" in capsys.readouterr().err
    finally:
        process.kill()
        process.wait()
    before = _trials(stack)
    assert main(["tune", "--config", str(config), "--minutes", "30", "--trials", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {trial.number: trial for trial in before if trial.outcome == "done"}.items() <= {
        trial.number: trial for trial in _trials(stack)
    }.items()
    assert "running" not in {trial["outcome"] for trial in found["trials"]}
    first = next(trial for trial in found["trials"] if not trial["changes"])
    best = found["trials"][found["best"]]
    assert best["quality"] >= first["quality"]
    # The user's run was the first trial and stays the current one; of the others only the best is left.
    assert first["run"] == served.id
    assert stack.layout.runs.current == served
    assert {run.id for run in registered_runs(stack.layout)} == {served.id, best["run"]}
    tuned = load_config(Path(found["config"]))
    assert stages.own_run(tuned).id == best["run"]
    assert stages.train(tuned, "retrieval").nothing_to_do
    page = Path(found["report"]).read_text("utf-8")
    assert all(words in page for words in ("Quality over time", "<svg", first["run"]))


@pytest.mark.slow
def test_two_workers_share_the_trials(stack: StackConfig) -> None:
    small = replace(stack, retrieval=replace(stack.retrieval, epochs=2))
    workers = set()
    found = tune(
        small,
        RETRIEVAL,
        small.to_toml(),
        Budget(minutes=30, workers=2, trials=4),
        lambda study, gone: workers.update(
            trial.user_attrs.get("worker") for trial in study.get_trials(states=(TrialState.RUNNING,))
        ),
        print,
    )
    assert workers - {None} == {0, 1}
    assert len(found.trials) >= 4
    assert {trial.outcome for trial in found.trials} <= {"done", "pruned"}
    assert found.best is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ranking", "list_ranking"])
def test_the_stages_behind_retrieval_are_searched_too(
    stack: StackConfig, name: StageName, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of one epoch, so that no trial is ended early.
    ranker = replace(stack.list_ranking, enabled=True, folds=1, candidates=6, history=6, epochs=1, members=1)
    small = replace(stack, list_ranking=ranker, ranking=replace(stack.ranking, epochs=1))
    monkeypatch.setattr("recstack.tuning.tune._CONFIRMING", 1.0)  # the best are repeated as soon as there are two
    found = tune(small, SEARCHED[name], small.to_toml(), Budget(minutes=30, trials=5), lambda study, gone: None, print)
    assert any(trial.repeats is not None and trial.outcome == "done" for trial in found.trials)
    assert {trial.outcome for trial in found.trials} == {"done"}
    assert found.best is not None
    assert found.best.quality is not None
    assert (found.best.quality < 0) == (name == "ranking")  # of a loss, less is better
    best = load_config(found.layout.config)
    assert replace(best, **{name: getattr(small, name)}) == small
    stage = stages_of(best)[name]
    assert found.searched.metric == (stage.objective if stage.maximise else f"-{stage.objective}")
    assert stages.train(best, name).nothing_to_do
    # The trials took over the fold's retrieval, which the first of them had trained.
    folds = stages.own_run(best).stage(name).directory / "folds"
    assert _manifests(folds) == _manifests(found.layout.kept / str(best.seed))
    assert bool(_manifests(folds)) == (name == "list_ranking")


def test_what_decides_about_the_quality_is_another_search(stack: StackConfig) -> None:
    dataset = stack.require_dataset()
    searches = [
        stack,
        replace(stack, training=replace(stack.training, precision="mixed_bfloat16")),
        replace(stack, evaluation=replace(stack.evaluation, cutoffs=(3, 10))),
        replace(stack, seed=stack.seed + 1),
        replace(stack, retrieval=replace(stack.retrieval, epochs=1)),
    ]
    facts = LogFacts.of(stack, dataset)
    names = [_identity(Space(base=each, facts=facts, searched=SEARCHED["list_ranking"]), dataset) for each in searches]
    assert len(set(names)) == len(searches)


def test_what_xla_does_not_compile_is_refused(stack: StackConfig) -> None:
    hard = replace(stack.retrieval, negatives=CrossBatchConfig())
    compiled = replace(stack, retrieval=hard, training=replace(stack.training, xla=True))
    with pytest.raises(ConfigError, match=r"retrieval.negatives.kind = 'cross_batch'"):
        tune(compiled, RETRIEVAL, "", Budget(minutes=1), lambda study, gone: None, print)


def test_a_list_ranker_that_is_off_is_not_searched(stack: StackConfig) -> None:
    with pytest.raises(ConfigError, match=r"list_ranking.enabled = False: expected true"):
        tune(stack, SEARCHED["list_ranking"], stack.to_toml(), Budget(minutes=1), lambda study, gone: None, print)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_an_interrupt_leaves_a_result(stack: StackConfig) -> None:
    long = replace(stack, retrieval=replace(stack.retrieval, epochs=100_000, patience=0))
    killed: list[int] = []

    def look(study: object, gone: float) -> None:
        running = [trial.number for trial in _trials(long) if trial.outcome == "running"]
        if running == [0] and not killed:
            (worker,) = _workers()
            killed.append(worker.pid)
            worker.kill()
        if running and running[-1] > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(long, RETRIEVAL, long.to_toml(), Budget(minutes=30), look, print)
    assert not _workers()
    first = _trials(long)[0]
    assert first.outcome == "failed"
    assert "killed by signal 9; out of memory?" in first.why
    # Nothing was finished, so that the result is the configuration as it was.
    assert load_config(long.layout.tunings.tuning(_root(long).name).config) == long


def _manifests(folder: Path) -> set[int]:
    """Inodes of the manifests: linked files share them, copies do not."""
    return {path.stat().st_ino for path in folder.rglob("manifest.json")}


def _root(stack: StackConfig) -> Path:
    (root,) = stack.layout.tunings.root.iterdir()
    return root


def _trials(stack: StackConfig) -> list:
    roots = list(stack.layout.tunings.root.glob("*/study.journal"))
    return results(open_study(stack.layout.tunings.tuning(roots[0].parent.name), 0)) if roots else []


def _workers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [child for child in children if "recstack.tuning.worker" in " ".join(child.cmdline())]


def _wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.2)
