"""Two runs side by side: what differs in configuration and data, and metrics over the same queries with intervals."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from features.disk.layout import RunLayout, StageName
from features.disk.manifest import read_manifest
from features.errors import InputError
from features.serialization import unstructure
from recstack import stages
from recstack.config import StackConfig, parse_config
from recstack.retraining.registry import RegisteredRun, find_run, live_stages, read_run
from recstack.retraining.samples import Samples, sample_users, shown_places, with_titles

if TYPE_CHECKING:
    from trainer.metrics.intervals import PairedTest
    from trainer.metrics.results import Evaluation
    from trainer.restore import Trained
    from trainer.retrieval.two_towers import TwoTowers

# Items of the lists that are shown.
_SHOWN = 5


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
    drift: Mapping[str, float]
    """Population stability index of each feature, second dataset against the first; empty if one was not kept."""
    split: str
    """Split of the present dataset that both were judged on."""
    num_queries: int
    """Queries that both answered."""
    metrics: Mapping[str, ComparedMetric]
    """Metrics of retrieval, by name."""
    cascade: Mapping[str, ComparedMetric]
    """Metrics of what `recommender` answers, by name; empty unless both runs have a list ranker that was trained on the
    present dataset, whose events its candidates are counted by."""
    samples: Samples
    """A few users of the split with the recommendations of both runs' retrieval models."""
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
    from trainer.evaluation.retrieval import judge_model

    dataset = stack.require_dataset().fingerprint()
    pair = [find_run(stack.layout, name) for name in (first, second)]
    if pair[0] == pair[1]:
        raise InputError(f"run {pair[0].id}: two different runs expected, the same one found twice")
    configs = [config_of(run) for run in pair]
    live = live_stages(stack.layout)
    registered = [read_run(run, is_current=run == stack.layout.runs.current, live=live) for run in pair]
    judged, trained = [], []
    for run, config in zip(pair, configs, strict=True):
        progress(f"judging run {run.id} on the {stack.evaluation.split} split")
        trained.append(_restored(stack, run, config))
        judged.append(judge_model(trained[-1], stack.layout.dataset, stack.evaluation))
    return Comparison(
        first=registered[0],
        second=registered[1],
        settings=tuple(differences(deciding_settings(configs[0]), deciding_settings(configs[1]))),
        counts=tuple(differences(registered[0].counts, registered[1].counts)),
        drift=_drift(stack, registered),
        split=stack.evaluation.split,
        num_queries=judged[0].num_queries,
        metrics=_metrics(judged[0], judged[1]),
        cascade=_cascades(stack, registered, progress),
        samples=_samples(stack, trained),
        trained_elsewhere=tuple(run.id for run in registered if run.dataset != dataset),
    )


def _drift(stack: StackConfig, runs: Sequence[RegisteredRun]) -> dict[str, float]:
    """Population stability index by feature between the datasets of two runs; empty if a dataset's profile is gone."""
    from beam_pipelines.profile.drift import measure_drift
    from recstack.retraining.gate.data_facts import kept_dataset

    first, second = (kept_dataset(stack.layout, run.dataset) for run in runs)
    if first is None or second is None or runs[0].dataset == runs[1].dataset:
        return {}
    return dict(measure_drift(first, second, stack.features, stack.pipeline.drift).stability)


def config_of(run: RunLayout) -> StackConfig:
    """The whole configuration that a run was trained with.

    Raises:
        InputError: the run does not hold one.
    """
    # A stage that was trained for the sake of a later one keeps none.
    kept = [name for name in run.finished() if run.stage(name).config.exists()] or ["retrieval"]
    configs = {name: _config_of_stage(run, name) for name in kept}
    # Each stage keeps the configuration of the run that trained it, which may be another one that shares the stage.
    return replace(configs[kept[0]], **{name: getattr(config, name) for name, config in configs.items()})


def _config_of_stage(run: RunLayout, name: StageName) -> StackConfig:
    path = run.stage(name).config
    try:
        return parse_config(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise InputError(f"run {run.id}: {path} cannot be read ({error.strerror}); is its {name} trained?") from error


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


def _cascades(
    stack: StackConfig, runs: Sequence[RegisteredRun], progress: Callable[[str], None]
) -> dict[str, ComparedMetric]:
    """Judges the cascades of both runs, where they have them."""
    from trainer.evaluation.cascade import judge_cascade
    from trainer.restore import restore
    from trainer.stage import list_ranking_of

    pair, dataset = [stack.layout.runs.run(run.id) for run in runs], stack.require_dataset().fingerprint()
    if not all("list_ranking" in run.finished() for run in pair):
        return {}
    if any(run.dataset != dataset for run in runs):
        progress("the list rankers are not compared: one of them was trained on another dataset than the present one")
        return {}
    judged = []
    for run in pair:
        progress(f"judging the cascade of run {run.id}, which takes minutes on large logs")
        config = config_of(run)
        context = replace(stages.stage_context(stack, run), seed=config.seed)
        stage = list_ranking_of(replace(config, evaluation=stack.evaluation))
        # Nothing is trained here, whatever the run started from and however it was trained.
        stage = replace(stage, train_retrieval=lambda context, retrieval: restore(context, retrieval).model)
        try:
            judged.append(judge_cascade(restore(context, stage), context, stack.evaluation, stage))
        except InputError as error:
            progress(f"the list rankers are not compared: {error}")
            return {}
    return _metrics(judged[0], judged[1])


def _restored(stack: StackConfig, run: RunLayout, config: StackConfig) -> "Trained[TwoTowers]":
    from trainer.restore import restore
    from trainer.stage import stages_of

    read_manifest(run.stage("retrieval").manifest, "run")
    context = replace(stages.stage_context(stack, run), seed=config.seed)
    trained: Trained[TwoTowers] = restore(context, stages_of(config)["retrieval"])
    return trained


def _samples(stack: StackConfig, trained: "Sequence[Trained[TwoTowers]]") -> Samples:
    """The lists of both models for a few queries of the split."""
    from trainer.evaluation.retrieval import best_items
    from trainer.evaluation.served import raw_queries

    raw = raw_queries(stack.features, stack.layout.dataset, stack.evaluation.split)
    places = shown_places(len(raw))
    first, second = (best_items(each, stack.layout.dataset, stack.evaluation, places, _SHOWN) for each in trained)
    wanted, before, after = (
        [tuple(item.decode() for item in items) for items in lists] for lists in (second[1], first[0], second[0])
    )
    users = sample_users(stack.features, raw.take(places), wanted=wanted, before=before, after=after)
    return with_titles("retrieval", users, stack.features, stack.layout.dataset)


def _metrics(first: "Evaluation", second: "Evaluation") -> dict[str, ComparedMetric]:
    from trainer.metrics.results import compare

    tests = compare(second, first, second.metrics)
    return {
        name: ComparedMetric(first=first.metrics[name].value, second=second.metrics[name].value, test=test)
        for name, test in tests.items()
    }
