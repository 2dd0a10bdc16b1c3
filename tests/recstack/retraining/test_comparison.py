"""Two runs are judged over the same queries."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import InputError
from recstack import stages
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.retraining.comparison import Comparison, Difference, compare_runs
from recstack.retraining.samples import SHOWN_USERS
from tests.checkerboard import likes

pytestmark = pytest.mark.slow  # trains a second run


@pytest.fixture(scope="module")
def two_runs(checkerboard: StackConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[StackConfig, str, str]:
    """The checkerboard's run, and one that was trained for a single step of next to no size."""
    stack = replace(checkerboard, workdir=tmp_path_factory.mktemp("two") / "work")
    for part in ("dataset", "runs"):
        shutil.copytree(checkerboard.workdir / part, stack.workdir / part)
    good = stack.layout.current_run.id
    optimizer = replace(stack.retrieval.optimizer, learning_rate=1e-9)
    untrained = replace(stack, retrieval=replace(stack.retrieval, epochs=1, optimizer=optimizer))
    trained = stages.train(untrained, "retrieval")
    return stack, good, trained.directory.parent.name


@pytest.fixture(scope="module")
def found(two_runs: tuple[StackConfig, str, str]) -> Comparison:
    """The poor run, and the good one beside it."""
    stack, good, poor = two_runs
    return compare_runs(stack, poor, good)


def test_the_difference_is_paired_and_the_settings_are_told(found: Comparison) -> None:
    assert found.settings == (
        Difference(name="retrieval.optimizer.learning_rate", first=1e-9, second=0.02),
        Difference(name="retrieval.epochs", first=1, second=24),
    )
    assert found.counts == ()
    assert found.trained_elsewhere == ()
    recall = found.metrics["recall@2"]
    # A model that has understood the checkerboard finds both liked items; that one of them is far from it is certain.
    assert recall.second == pytest.approx(1.0, abs=0.05)
    assert recall.test.difference.value == pytest.approx(recall.second - recall.first)
    assert recall.test.difference.low > 0


def test_the_lists_of_both_stand_beside_what_was_wanted(found: Comparison) -> None:
    samples = found.samples
    assert len(samples.users) == SHOWN_USERS
    for user in samples.users:
        assert all(likes(user.name, item) for item in user.wanted)
        # Each user has two liked items to find, and the good model knows them.
        assert set(user.wanted) <= set(user.after)
    assert any(not set(user.wanted) <= set(user.before) for user in samples.users)
    assert samples.title(samples.users[0].after[0]) != samples.users[0].after[0]


def test_cascades_are_compared_where_both_runs_have_one(two_runs: tuple[StackConfig, str, str], tmp_path: Path) -> None:
    stack, good, _ = two_runs
    ranker = replace(stack.list_ranking, enabled=True, folds=1, candidates=6, history=6, members=1)
    runs = []
    for epochs in (1, 2):
        ranked = replace(stack, list_ranking=replace(ranker, epochs=epochs), keep_runs=9)
        if epochs == 2:  # which is no matter of the list ranker
            ranked = replace(ranked, training=replace(stack.training, precision="mixed_bfloat16"))
        runs = [*runs, stages.train(ranked, "list_ranking", current=False).directory.parent.name]
    assert compare_runs(stack, *runs).cascade.keys() == compare_runs(stack, *runs).metrics.keys()
    assert compare_runs(stack, runs[0], good).cascade == {}
    cascade = compare_runs(stack, *runs).cascade["ndcg@2"]
    assert cascade.first > 0.9
    assert cascade.second > 0.9


def test_a_run_is_not_compared_with_itself(two_runs: tuple[StackConfig, str, str]) -> None:
    stack, good, _ = two_runs
    with pytest.raises(InputError, match="two different runs expected"):
        compare_runs(stack, good, good[:6])


def test_compare_prints_one_object_for_a_program(
    two_runs: tuple[StackConfig, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, good, poor = two_runs
    config = tmp_path / "stack.toml"
    config.write_text(stack.to_toml())
    assert main(["compare", good, poor, "--config", str(config), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["first"], found["second"]) == (good, poor)
    assert main(["compare", good, poor, "--config", str(config)]) == 0
    tables, _, result = capsys.readouterr().out.partition("compare: ")
    assert f"{poor} against {good}" in result
    assert max(map(len, tables.splitlines())) <= 80
    assert {good[:8], poor[:8], "recall@2", "retrieval.epochs"} <= set(
        tables.replace("│", " ").replace("┃", " ").split()
    )
    assert found["metrics"]["recall@2"]["test"]["difference"]["high"] < 0
    assert len(found["samples"]) == SHOWN_USERS
