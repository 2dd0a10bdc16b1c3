"""The study: all trials of a search, kept in Optuna's journal, which several processes and later calls share."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeAlias

import optuna
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from features.disk.searches import TuningLayout
from features.errors import InputError, first_line
from recstack.tuning.space import Space

Outcome: TypeAlias = Literal["done", "pruned", "failed", "stopped", "running"]

_NAME = "tuning"
# Shares of a training in percent: a trial goes on beyond 25 and 50 if it is in the better half of those that got there.
_FIRST_RUNG, _HALVING = 25, 2
# So many trials end by themselves before another one is ended early: half of two or three says little.
_NEVER_PRUNED = 4
_RANDOM_TRIALS = 8
# More than there are workers.
_TRIAL_SEEDS = 1009
# A trial that was stopped so often, by kills or by budgets, is given up.
_MOST_STARTS = 5
# So many of the best are trained again with another seed, and the configuration as it is.
_RIVALS = 3

# Keys of the trials' attributes.
REPEATS, CONTINUES, RUN, MADE, WORKER, SECONDS, WHY, TRY, STARTS, STOPPED = (
    "repeats",
    "continues",
    "run",
    "made_by_tune",
    "worker",
    "seconds",
    "why",
    "try",
    "starts",
    "stopped",
)


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """What is known of one trial."""

    number: int
    """In the order in which they began."""
    outcome: Outcome
    """`stopped`: by the end of the time or by a kill; another trial goes on with it."""
    quality: float | None
    """The objective on validation: of the kept epoch, or of the last one before the trial was ended."""
    share: float
    """How much of its training was done, from 0 to 1."""
    seconds: float
    """Wall time."""
    run: str
    """Id of its training run; empty if it did not begin one."""
    why: str
    """Why it failed; empty if it did not."""
    params: Mapping[str, Any]
    """Parameters in the study."""
    repeats: int | None
    """Number of the trial whose settings it repeats with another seed; None for settings of its own."""
    continues: int | None = None
    """Number of the trial that was stopped and that it goes on with; None for one that began anew."""

    @classmethod
    def of(cls, trial: FrozenTrial) -> "TrialResult":
        """Reads a trial of the study."""
        attributes, last = trial.user_attrs, trial.last_step
        quality = trial.value
        if quality is None and last is not None:
            quality = trial.intermediate_values[last]
        return cls(
            number=trial.number,
            outcome="stopped" if attributes.get(STOPPED) else _OUTCOMES[trial.state],
            quality=quality,
            share=1.0 if trial.state == TrialState.COMPLETE else (last or 0) / 100,
            seconds=attributes.get(SECONDS, 0.0),
            run=attributes.get(RUN, ""),
            why=attributes.get(WHY, ""),
            params=trial.params,
            repeats=attributes.get(REPEATS),
            continues=attributes.get(CONTINUES),
        )


_OUTCOMES: Mapping[TrialState, Outcome] = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def open_study(layout: TuningLayout, seed: int) -> Study:
    """Opens the study of a search, or begins one.

    Args:
        layout: the search's directory.
        seed: Seed of what the sampler draws; different for each worker. A later call draws other settings.

    Raises:
        InputError: the journal is damaged.
    """
    optuna.logging.set_verbosity(logging.ERROR)
    # Absolute, since the lock beside the journal is a link to it.
    storage = JournalStorage(JournalFileBackend(str(layout.study.resolve())))
    pruner = SuccessiveHalvingPruner(min_resource=_FIRST_RUNG, reduction_factor=_HALVING)
    try:
        study = optuna.create_study(
            storage=storage, study_name=_NAME, direction="maximize", load_if_exists=True, pruner=pruner
        )
    except (ValueError, KeyError) as error:
        raise InputError(
            f"{layout.study}: not what Optuna wrote ({first_line(error)}); delete {layout.root} to search anew"
        ) from error
    study.sampler = TPESampler(
        seed=seed + _TRIAL_SEEDS * len(study.get_trials(deepcopy=False)),
        multivariate=True,
        n_startup_trials=_RANDOM_TRIALS,
    )
    return study


def mend_journal(layout: TuningLayout) -> None:
    """Removes what a killed process may have left: its lock, and the half of a line; call it while no worker runs."""
    Path(f"{layout.study.resolve()}.lock").unlink(missing_ok=True)
    try:
        content = layout.study.read_bytes()
    except FileNotFoundError:
        return
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(layout.study, whole)


def begin(study: Study, space: Space) -> None:
    """Puts the configuration as it is first, and what a former call did not finish before the rest."""
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(space.start())
    stop_all(study)


def stop_all(study: Study) -> None:
    """Ends the trials that nobody works at any more, for the next call to go on with."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        stop(study, trial)


def stop(study: Study, trial: FrozenTrial) -> None:
    """Ends a trial that another one is going to go on with, from its last checkpoint."""
    starts = trial.user_attrs.get(STARTS, 1)
    note(study, trial, STOPPED, True)
    study.tell(trial.number, state=TrialState.FAIL)
    # A trial that was killed early has not drawn all that it was given.
    params = trial.system_attrs.get("fixed_params", {}) | trial.params
    if starts < _MOST_STARTS and params:
        kept = {name: value for name, value in trial.user_attrs.items() if name in (TRY, MADE, RUN, REPEATS)}
        study.enqueue_trial(params, user_attrs=kept | {STARTS: starts + 1, CONTINUES: trial.number})


def fail(study: Study, trial: FrozenTrial, why: str) -> None:
    """Records a trial that cannot be finished."""
    note(study, trial, WHY, why)
    study.tell(trial.number, state=TrialState.FAIL)


def note(study: Study, trial: FrozenTrial, key: str, value: Any) -> None:
    """Sets an attribute of a running trial, which may be another process's."""
    study._storage.set_trial_user_attr(trial._trial_id, key, value)  # no public method takes a trial of the study


def next_trial(study: Study, space: Space, *, confirming: bool = False) -> optuna.Trial:
    """The next trial: one that was stopped, a change of the best so far, or one that the sampler chooses.

    Args:
        study: of the search.
        space: what is searched.
        confirming: whether the best so far are trained again with another seed first.
    """
    trials = study.get_trials(deepcopy=False)
    is_waiting = any(trial.state == TrialState.WAITING for trial in trials)
    if not is_waiting and not (confirming and _enqueue_repeat(study)):
        _enqueue_attempt(study, space)
    return study.ask()


def _enqueue_attempt(study: Study, space: Space) -> None:
    """Adds the next change of the best so far, if one is left to be tried."""
    best = best_of(results(study))
    if best is None:
        return
    done = {trial.user_attrs.get(TRY) for trial in study.get_trials(deepcopy=False)}
    for number in range(len(space.searched.tries)):
        if number not in done and (params := space.attempt(number, best.params)) is not None:
            study.enqueue_trial(params, user_attrs={TRY: number})
            return


def _enqueue_repeat(study: Study) -> bool:
    """Adds the best trial that was not repeated yet, then the configuration as it is; says whether there was one."""
    trials = results(study)
    repeated = {trial.repeats for trial in trials}
    rivals = rivals_of(trials)
    for rival in rivals if len(rivals) > 1 else ():
        if rival.number not in repeated:
            study.enqueue_trial(dict(rival.params), user_attrs={REPEATS: rival.number})
            return True
    return False


def is_pruned(study: Study, trial: optuna.Trial) -> bool:
    """Whether a trial is worse than half of the others that got as far as it, and enough others have ended.

    Call it at each report, also for the first trials, since the others are compared with what it has seen.
    """
    is_worse = trial.should_prune()
    return (
        is_worse and sum(each.outcome in ("done", "pruned") for each in of_their_own(results(study))) >= _NEVER_PRUNED
    )


def of_their_own(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """The trials with settings of their own, each once: without repeats and those that another one goes on with."""
    continued = {trial.continues for trial in trials}
    return [trial for trial in trials if trial.repeats is None and trial.number not in continued]


def rivals_of(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """The trials that are worth another seed: the best, the configuration as it is, and those behind the best."""
    done = [trial for trial in trials if trial.outcome == "done" and trial.repeats is None]
    best = sorted(done, key=lambda trial: (-(trial.quality or 0.0), trial.number))[:_RIVALS]
    start = [trial for trial in done if trial.number == 0 and trial not in best[:1]]
    return [*best[:1], *start, *(trial for trial in best[1:] if trial not in start)]


def qualities(trials: Sequence[TrialResult]) -> dict[int, list[float]]:
    """The qualities of each finished trial with settings of its own, by its number: its own, then those of repeats."""
    done = [trial for trial in trials if trial.outcome == "done" and trial.quality is not None]
    found = {trial.number: [trial.quality] for trial in done if trial.repeats is None}
    for trial in done:
        if trial.repeats in found:
            found[trial.repeats].append(trial.quality)
    return {number: [each for each in values if each is not None] for number, values in found.items()}


def best_of(trials: Sequence[TrialResult]) -> TrialResult | None:
    """The finished trial with the best quality, the first of several; None before one is finished.

    Once several trials were repeated with another seed, it is the one of these with the best mean: the best of many
    single trainings owes a part of its lead to chance.
    """
    found = qualities(trials)
    repeated = {number: values for number, values in found.items() if len(values) > 1}
    judged = {number: fmean(values) for number, values in (repeated if len(repeated) > 1 else found).items()}
    best = max(judged, key=lambda number: (judged[number], -number), default=None)
    return next((trial for trial in trials if trial.number == best), None)


def results(study: Study) -> list[TrialResult]:
    """All trials that have begun, in their order."""
    began = study.get_trials(deepcopy=False, states=tuple(_OUTCOMES))
    return [TrialResult.of(trial) for trial in began]
