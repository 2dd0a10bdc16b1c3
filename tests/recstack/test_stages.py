"""The stages without a console: what becomes of runs when settings and data change."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.errors import ConfigError, InputError
from recstack import stages
from recstack.config import StackConfig
from trainer.export.job import build_models, publish_models
from trainer.restore import restore
from trainer.stage import stages_of


@pytest.fixture
def stack(checkerboard: StackConfig, tmp_path: Path) -> StackConfig:
    """A copy of the checkerboard recommender with its trained run."""
    for part in ("dataset", "runs"):
        shutil.copytree(checkerboard.workdir / part, tmp_path / "work" / part)
    return replace(checkerboard, workdir=tmp_path / "work")


def with_epochs(stack: StackConfig, *, ranking: int) -> StackConfig:
    return replace(stack, ranking=replace(stack.ranking, epochs=ranking))


def item_vectors(stack: StackConfig) -> np.ndarray:
    trained = restore(stages.stage_context(stack), stages_of(stack)["retrieval"])
    vectors: np.ndarray = trained.model.embed_candidates(trained.candidates).numpy()
    return vectors


@pytest.mark.slow
def test_changed_settings_start_a_run_and_unchanged_stages_come_along(stack: StackConfig) -> None:
    former, runs, reports = stack.layout.current_run, stack.layout.runs, list[str]()
    changed = with_epochs(stack, ranking=1)
    retrieval = stages.train(changed, "retrieval", report=reports.append)
    assert retrieval.nothing_to_do
    assert runs.current == former
    (report,) = reports
    assert "the current run also has ranking" in report
    ranking = stages.train(changed, "ranking", report=reports.append)
    assert not ranking.nothing_to_do
    assert runs.current is not None
    assert ranking.directory.parent == runs.current.root != former.root
    assert former.finished() == ("retrieval", "ranking")
    # The settings of the former run find it again, and its metrics with it.
    assert stages.run_with(stack, ("retrieval", "ranking")) == former
    assert stages.evaluate(stack, "ranking").nothing_to_do
    assert stages.train(stack, "ranking").nothing_to_do
    assert runs.current == former


def test_a_run_is_judged_before_it_is_current(stack: StackConfig) -> None:
    changed = with_epochs(stack, ranking=1)
    former = stack.layout.current_run
    stages.train(changed, "retrieval")
    result = stages.evaluate(changed, "retrieval")
    assert result.layout.directory.parent != former.root
    assert stack.layout.runs.current == former


@pytest.mark.slow
def test_prepare_leaves_the_current_run_whole(stack: StackConfig, tmp_path: Path) -> None:
    before = item_vectors(stack)
    table = tmp_path / "interactions.csv"
    with Path(stack.pipeline.interactions.path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([*rows[:-100], ["somebody", "i-new", "5.0", "1700000000"]])
    interactions = replace(stack.pipeline.interactions, path=str(table))
    newer = replace(stack, pipeline=replace(stack.pipeline, interactions=interactions))
    assert not stages.prepare(newer).nothing_to_do
    # The model is as it was; what needs the events says which dataset they were of.
    np.testing.assert_array_equal(item_vectors(newer), before)
    for stage_function in (
        lambda: stages.evaluate(newer, "retrieval"),
        lambda: stages.export(newer),
        lambda: stages.export_embeddings(newer),
    ):
        with pytest.raises(InputError, match=r"trained on dataset \w+, but .* is \w+ now.*this one stays"):
            stage_function()


@pytest.mark.slow
def test_old_runs_go_when_a_training_ends(stack: StackConfig) -> None:
    kept = replace(stack, keep_runs=1)
    reports: list[str] = []
    for epochs in (1, 2, 3):
        changed = with_epochs(kept, ranking=epochs)
        for name in ("retrieval", "ranking"):
            stages.train(changed, name, report=reports.append)
    assert len(stack.layout.runs.all()) == 2
    assert stack.layout.current_run in stack.layout.runs.all()
    assert sum("removed run" in report for report in reports) == 2


@pytest.mark.slow
def test_a_training_that_is_refused_leaves_no_run(stack: StackConfig, tmp_path: Path) -> None:
    """Else a few typing errors would push out trained runs."""
    before = stack.layout.runs.all()
    wider = replace(stack.retrieval, dimension=2 * stack.retrieval.dimension)
    for start_from, words in (
        ("nope", "start_from: run nope has no trained retrieval"),
        (
            stack.layout.current_run.id,
            "or give the settings that decide about layers as they were:\n  retrieval.dimension",
        ),
    ):
        with pytest.raises(InputError) as told:
            stages.train(replace(stack, retrieval=wider, start_from=start_from), "retrieval")
        assert words in str(told.value)
        assert "delete" not in str(told.value)
    assert stack.layout.runs.all() == before


def test_no_run_at_all_is_told(stack: StackConfig) -> None:
    shutil.rmtree(stack.layout.runs.root)
    with pytest.raises(InputError, match="no finished run found; run `recstack train`"):
        stages.evaluate(stack, "retrieval")


def test_keep_runs_is_checked(stack: StackConfig) -> None:
    with pytest.raises(ConfigError, match=r"keep_runs = 0.*at least 1"):
        replace(stack, keep_runs=0)


@pytest.mark.slow
def test_a_built_version_is_not_seen_before_it_is_published(stack: StackConfig) -> None:
    one = replace(stack, export=replace(stack.export, models=("retrieval_exact",)))
    job = stages.export_job(one, one.layout.current_run)
    layout = one.layout.model("retrieval_exact")
    built = build_models(job)
    assert layout.versions() == []
    (published,) = publish_models(job, built)
    assert layout.versions() == [published.version] == [1]
    assert not published.nothing_to_do
    (again,) = build_models(job)
    assert again.staged is None
