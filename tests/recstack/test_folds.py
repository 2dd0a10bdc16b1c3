"""Cross-validation of the checkerboard: each fold has a dataset and a run of its own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from features.disk.manifest import read_manifest
from features.errors import InputError
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.folds import evaluate_folds


@pytest.fixture
def stack(checkerboard: StackConfig, tmp_path: Path) -> StackConfig:
    """The checkerboard's tables with a folder of its own, and two baselines."""
    baselines = replace(checkerboard.evaluation.baselines, names=("popularity", "item_cf"), tune=False)
    evaluation = replace(checkerboard.evaluation, baselines=baselines)
    return replace(checkerboard, workdir=tmp_path / "work", evaluation=evaluation)


@pytest.mark.slow
def test_folds_are_prepared_trained_and_judged(
    stack: StackConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate_folds(stack, 2)
    latest, earlier = (fold["models"]["two_tower"] for fold in found["folds"])
    # Of the liked items that a user has not seen, the test holds both; a fold earlier, there are two more of them.
    assert latest["recall@2"] == pytest.approx(1.0, abs=0.05)
    assert earlier["recall@5"] == pytest.approx(1.0, abs=0.05)
    assert 0.3 < earlier["recall@2"] < 0.7
    assert found["versus"]["popularity"]["recall@5"]["folds_won"] == 2
    assert json.loads(stack.layout.folds.metrics.read_text()) == found
    manifests = [stack.layout.fold(n).dataset.manifest for n in range(2)]
    datasets = [read_manifest(path, "dataset") for path in manifests]
    written = [path.stat().st_mtime_ns for path in manifests]
    assert datasets[0].counts["positives_test"] == datasets[1].counts["positives_test"] == 40 * 2
    assert not stack.layout.dataset.root.exists()

    config = tmp_path / "stack.toml"
    config.write_text(stack.to_toml())
    capsys.readouterr()
    # A fold whose judgement is damaged is judged again, the other one is not.
    stack.layout.folds.judged(1).write_bytes(b"PK half of an archive")
    assert main(["evaluate", "--config", str(config), "--folds", "2"]) == 0
    assert json.loads(stack.layout.folds.metrics.read_text()) == found
    said = capsys.readouterr()
    assert "fold 1 of 2: evaluated before, nothing to do" in said.err
    assert "fold 2 of 2: evaluate on the test split" in said.err
    tables, _, result = said.out.partition("evaluate: ")
    assert "retrieval on 2 folds" in result
    assert "2/2 p=" in tables
    assert max(map(len, tables.splitlines())) <= 80
    # All that takes long was there already.
    assert [path.stat().st_mtime_ns for path in manifests] == written


@pytest.mark.parametrize(
    ("folds", "words"), [(0, "--folds 0: expected at least 2"), (1, "at least 2"), (12, "--folds 12: too many")]
)
def test_a_number_of_folds_that_cannot_be_is_refused(stack: StackConfig, folds: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        evaluate_folds(stack, folds)
    assert not stack.workdir.exists()


def test_other_stages_are_not_judged_by_folds(
    stack: StackConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "stack.toml"
    config.write_text(stack.to_toml())
    assert main(["evaluate", "ranking", "--config", str(config), "--folds", "2"]) == 2
    assert "ranking --folds: expected retrieval" in capsys.readouterr().err
