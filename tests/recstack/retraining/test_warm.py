"""A retraining trains what its exported models need and no stage less than the run before, and fits few baselines."""

from dataclasses import replace
from pathlib import Path

import pytest

from features.disk.layout import ModelName, StageName
from features.errors import ConfigError
from recstack.config import StackConfig, load_config
from recstack.retraining.config import BaselinesRule
from recstack.retraining.retrain import with_baselines
from recstack.retraining.warm import retrained_stages
from trainer.config.baselines import BaselineName


def exporting(folder: Path, *models: ModelName) -> StackConfig:
    stack = replace(load_config(None), workdir=folder)
    return replace(
        stack,
        export=replace(stack.export, models=models),
        list_ranking=replace(stack.list_ranking, enabled=True),
    )


@pytest.mark.parametrize(
    ("models", "stages"),
    [
        (("retrieval",), ("retrieval",)),
        (("ranking",), ("retrieval", "ranking")),
        (("recommender",), ("retrieval", "list_ranking")),
        (("ranking", "recommender"), ("retrieval", "ranking", "list_ranking")),
    ],
)
def test_stages_of_no_exported_model_are_left_out(
    tmp_path: Path, models: tuple[ModelName, ...], stages: tuple[StageName, ...]
) -> None:
    assert retrained_stages(exporting(tmp_path, *models)) == stages


def test_stages_of_the_current_run_are_trained_again(tmp_path: Path) -> None:
    """Else the new run could not take its place."""
    stack = exporting(tmp_path, "retrieval")
    run = stack.layout.runs.run("0123456789abcdef")
    for name in ("retrieval", "ranking"):
        run.stage(name).manifest.parent.mkdir(parents=True)
        run.stage(name).manifest.write_text("{}")
    stack.layout.runs.current_file.write_text(f"{run.id}\n")
    assert retrained_stages(stack) == ("retrieval", "ranking")


@pytest.mark.parametrize(
    ("of_gate", "of_evaluation", "fitted"),
    [
        (BaselinesRule(names=("repeat",)), ("popularity", "als"), ("repeat",)),
        (BaselinesRule(), ("popularity", "als"), ("popularity", "als")),
        (BaselinesRule(), (), ("popularity",)),
        (BaselinesRule(enabled=False, names=("repeat",)), ("als",), ("als",)),
    ],
)
def test_a_night_fits_the_baselines_of_the_gate(
    of_gate: BaselinesRule, of_evaluation: tuple[BaselineName, ...], fitted: tuple[BaselineName, ...]
) -> None:
    stack = load_config(None)
    baselines = replace(stack.evaluation.baselines, names=of_evaluation)
    stack = replace(
        stack,
        gate=replace(stack.gate, baselines=of_gate),
        evaluation=replace(stack.evaluation, baselines=baselines),
    )
    assert with_baselines(stack).evaluation.baselines.names == fitted


def test_a_baseline_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"gate\.baselines\.names"):
        replace(BaselinesRule(), names=("repeats",))
