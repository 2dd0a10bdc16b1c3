"""A search from beginning to end: its directory, its processes and what comes of it."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from optuna.study import Study

from features.disk.files import exclusive, make_directory, write_text_atomically
from features.disk.manifest import Manifest
from features.disk.searches import TuningLayout
from features.errors import ConfigError, InputError
from features.schema import fingerprint
from features.serialization import unstructure
from recstack.config import StackConfig, require_strategy
from recstack.tuning.document import Change, changes, tuned_text
from recstack.tuning.pool import Pool, run_pool
from recstack.tuning.report import write_report
from recstack.tuning.search import Limits
from recstack.tuning.settings import LogFacts, Searched
from recstack.tuning.space import Space
from recstack.tuning.study import (
    TrialResult,
    begin,
    best_of,
    mend_journal,
    open_study,
    qualities,
    results,
    stop_all,
)

_WORK = "recstack tune"
# Share of the time in which the best trials are repeated with another seed.
_CONFIRMING = 0.25
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a search may cost."""

    minutes: float
    """Wall time of this call."""
    workers: int = 1
    """Processes that train at once."""
    trials: int = 0
    """Trials at most, those of former calls included; 0: as many as fit."""

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise InputError(f"--minutes {self.minutes:g}: expected a positive number of minutes")
        if self.workers < 1:
            raise InputError(f"--workers {self.workers}: expected at least 1 process")
        if self.trials < 0:
            raise InputError(f"--trials {self.trials}: expected at least 1 trial, or 0 for as many as fit")

    def limits(self, started: float) -> Limits:
        """When a search that started at this moment, in seconds since 1970, ends."""
        seconds = 60 * self.minutes
        return Limits(until=started + seconds, confirm_from=started + (1 - _CONFIRMING) * seconds, trials=self.trials)


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a search found."""

    searched: Searched
    """The stage whose settings were searched."""
    layout: TuningLayout
    """Where it lies."""
    trials: tuple[TrialResult, ...]
    """All trials, those of former calls included."""
    changes: Mapping[int, tuple[Change, ...]]
    """By trial, what differs from the given configuration."""
    best: TrialResult | None
    """The finished trial with the best quality; None before one is finished."""
    first: TrialResult | None
    """The given configuration as it is; None before it is finished."""
    qualities: Mapping[int, float]
    """Quality of each finished trial with settings of its own, by its number: the mean if it was repeated."""
    seeds: Mapping[int, int]
    """With how many seeds each was trained."""


def tune(
    stack: StackConfig,
    searched: Searched,
    text: str,
    budget: Budget,
    progress: Callable[[Study, float], None],
    report: Report,
) -> Tuning:
    """Searches the settings of a stage; the same call again goes on.

    Args:
        stack: where the search starts.
        searched: the stage.
        text: the configuration file, which the result is written into.
        budget: how much it may cost.
        progress: called twice a second with the study and the seconds gone.
        report: told in one line what goes on.

    Raises:
        ConfigError: the configuration cannot be tuned.
        InputError: there is no dataset, nothing to validate by, or another search of it is running.
        RecstackError: the processes of the search die again and again.
    """
    dataset = stack.require_dataset()
    _require(stack, searched, dataset)
    space = Space(base=stack, facts=LogFacts.of(stack, dataset), searched=searched)
    layout = stack.layout.tunings.tuning(_identity(space, dataset))
    started = time.time()
    for directory in (layout.root, layout.workers):
        make_directory(directory)
    with exclusive(layout.root, _WORK):
        with exclusive(layout.workers, _WORK, wait=True):  # until the last worker of a killed call has noticed
            mend_journal(layout)
            write_text_atomically(layout.base, stack.to_toml())
            study = open_study(layout, stack.seed)
            begin(study, space)
        pool = Pool(
            stage=searched.stage,
            layout=layout,
            study=study,
            size=budget.workers,
            limits=budget.limits(started),
        )
        report(f"{layout.root}: {len(results(study))} trials so far")
        try:
            run_pool(
                pool, _keeping_the_best(study, space, layout, text, lambda: progress(study, time.time() - started))
            )
        finally:
            stop_all(study)  # those whose processes did not end in time
            found = conclude(layout, study, space, text)
    return found


def _keeping_the_best(
    study: Study, space: Space, layout: TuningLayout, text: str, progress: Callable[[], None]
) -> Callable[[], None]:
    """Writes the best configuration so far whenever a trial has ended, so that a kill leaves it."""
    ended = 0

    def look() -> None:
        nonlocal ended
        number = sum(trial.outcome != "running" for trial in results(study))
        if number > ended:
            ended = number
            _write_config(found_in(study, space, layout), space, text)
        progress()

    return look


def conclude(layout: TuningLayout, study: Study, space: Space, text: str) -> Tuning:
    """Writes the best configuration and the report of what is known so far."""
    found = found_in(study, space, layout)
    _write_config(found, space, text)
    write_report(layout, study, found.trials, found.changes, space.searched.metric)
    return found


def found_in(study: Study, space: Space, layout: TuningLayout) -> Tuning:
    """What a study says."""
    trials = tuple(results(study))
    changed = {trial.number: changes(space.base, space.stack_of(trial.params)) for trial in trials}
    return Tuning(
        searched=space.searched,
        layout=layout,
        trials=trials,
        changes=changed,
        best=best_of(trials),
        first=next((each for each in trials if each.outcome == "done" and not changed[each.number]), None),
        qualities={number: fmean(values) for number, values in qualities(trials).items()},
        seeds={number: len(values) for number, values in qualities(trials).items()},
    )


def _write_config(found: Tuning, space: Space, text: str) -> None:
    winner = space.base if found.best is None else space.stack_of(found.best.params)
    write_text_atomically(found.layout.config, tuned_text(text, winner, _remarks(found)))


def _remarks(found: Tuning) -> Iterator[str]:
    """What stands above the configuration."""
    if found.best is None:
        yield "recstack tune: no trial is finished yet; this is the configuration as it was."
        return
    is_changed = found.first is not None and found.first != found.best
    before = f" ({found.qualities[found.first.number]:.4f} before)" if found.first and is_changed else ""
    quality = f"{found.qualities[found.best.number]:.4f}"
    what = f"{found.searched.stage}: {found.searched.metric} on the validation split {quality}{before}"
    finished = sum(found.seeds.values())
    yield f"recstack tune {what}, the best of {finished} finished trials of {len(found.trials)}."
    yield "Fields with a comment `tuned` are changed; train it with `recstack train`."


def _require(stack: StackConfig, searched: Searched, dataset: Manifest) -> None:
    if searched.stage not in stack.stage_names:
        raise ConfigError(f"{searched.stage}.enabled", False, "true: it is off, so nothing would use its settings")
    if not dataset.counts.get("positives_validation", 0):
        raise InputError(
            f"dataset {stack.layout.dataset.root}: `recstack tune` compares settings on the validation split, which "
            "has no positive events; set pipeline.split.validation and run `recstack prepare` again"
        )
    if stack.strategy not in ("default", "mirrored"):
        raise ConfigError("strategy", stack.strategy, "default or mirrored: `--workers` trains trials side by side")
    require_strategy(stack, searched.stage)


def _identity(space: Space, dataset: Manifest) -> str:
    """Name of the search of a configuration; another dataset, configuration or table of settings is another search."""
    stack, searched = space.base, space.searched
    evaluation = stack.evaluation
    judged: dict[str, Any] = {"targets": evaluation.targets, "exclude_seen": evaluation.exclude_seen}
    judged["cutoff"] = min(evaluation.cutoffs)  # of the list ranker's NDCG
    tables = [(name, unstructure(getattr(stack, name))) for name in (searched.stage, *searched.behind)]
    parts = [dataset.fingerprint(), tables, judged, unstructure(stack.training), stack.seed, stack.start_from]
    return fingerprint([*parts, asdict(space.facts), space.describe(), [dict(change) for change in searched.tries]])
