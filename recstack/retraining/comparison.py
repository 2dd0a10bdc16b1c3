"""Two runs side by side: what differs in configuration and data, and metrics over the same queries with intervals."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from features.disk.layout import RunLayout
from features.disk.manifest import read_manifest
from features.errors import InputError
from features.serialization import unstructure
from recstack import stages
from recstack.config import StackConfig, parse_config
from recstack.retraining.registry import RegisteredRun, find_run, live_stages, read_run

if TYPE_CHECKING:
    from trainer.metrics.intervals import PairedTest
    from trainer.metrics.results import Evaluation


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field or count that two runs have in different values."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True, kw_only=True)
class ComparedMetric:
    """One metric of two runs over the same queries."""

    first: float
    second: float
    test: "PairedTest"
    """Second minus first, paired by query."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two runs differ in."""

    first: RegisteredRun
    second: RegisteredRun
    settings: tuple[Difference, ...]
    """Fields of the configuration, by dotted name."""
    counts: tuple[Difference, ...]
    """Counts of the datasets."""
    split: str
    """Split of the present dataset that both were judged on."""
    num_queries: int
    """Queries that both answered."""
    metrics: Mapping[str, ComparedMetric]
    """Metrics of retrieval, by name."""
    trained_elsewhere: tuple[str, ...]
    """Which of the two runs were trained on another dataset than the present one."""


def compare_runs(
    stack: StackConfig, first: str, second: str, progress: Callable[[str], None] = stages.silent
) -> Comparison:
    """Judges the retrieval models of two runs on the same split of the present dataset.

    Args:
        stack: workdir, features and `[evaluation]`; each run has the model configuration that it was trained with.
        first: id of a run, its beginning, or `current`.
        second: likewise.
        progress: told in one line what is being done.

    Raises:
        InputError: a run or the dataset is missing, or was made with other features.
    """
    dataset = stack.require_dataset().fingerprint()
    pair = [find_run(stack.layout, name) for name in (first, second)]
    if pair[0] == pair[1]:
        raise InputError(f"run {pair[0].id}: two different runs expected, the same one found twice")
    configs = [config_of(run) for run in pair]
    live = live_stages(stack.layout)
    registered = [read_run(run, is_current=run == stack.layout.runs.current, live=live) for run in pair]
    judged = []
    for run, config in zip(pair, configs, strict=True):
        progress(f"judging run {run.id} on the {stack.evaluation.split} split")
        judged.append(_judge(stack, run, config))
    return Comparison(
        first=registered[0],
        second=registered[1],
        settings=tuple(differences(deciding_settings(configs[0]), deciding_settings(configs[1]))),
        counts=tuple(differences(registered[0].counts, registered[1].counts)),
        split=stack.evaluation.split,
        num_queries=judged[0].num_queries,
        metrics=_metrics(judged[0], judged[1]),
        trained_elsewhere=tuple(run.id for run in registered if run.dataset != dataset),
    )


def config_of(run: RunLayout) -> StackConfig:
    """The whole configuration that a run was trained with.

    Raises:
        InputError: the run does not hold one.
    """
    path = run.stage("retrieval").config
    try:
        return parse_config(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise InputError(
            f"run {run.id}: {path} cannot be read ({error.strerror}); is its retrieval trained?"
        ) from error


def differences(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> Iterator[Difference]:
    """The leaves in which two nested tables differ, by dotted name; None where one has no such field."""
    for key in dict.fromkeys((*first, *second)):
        name, one, other = f"{prefix}{key}", first.get(key), second.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, f"{name}.")
        elif one != other:
            yield Difference(name=name, first=one, second=other)


def deciding_settings(config: StackConfig) -> Mapping[str, Any]:
    """The configuration without what says where the models lie."""
    return {name: value for name, value in unstructure(config).items() if name != "workdir"}


def _judge(stack: StackConfig, run: RunLayout, config: StackConfig) -> "Evaluation":
    from trainer.evaluation.retrieval import judge_model
    from trainer.restore import restore
    from trainer.stage import stages_of

    read_manifest(run.stage("retrieval").manifest, "run")
    context = replace(stages.stage_context(stack, run), seed=config.seed)
    return judge_model(restore(context, stages_of(config)["retrieval"]), stack.layout.dataset, stack.evaluation)


def _metrics(first: "Evaluation", second: "Evaluation") -> dict[str, ComparedMetric]:
    from trainer.metrics.results import compare

    tests = compare(second, first, second.metrics)
    return {
        name: ComparedMetric(first=first.metrics[name].value, second=second.metrics[name].value, test=test)
        for name, test in tests.items()
    }
