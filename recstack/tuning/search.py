"""The search of one process: trial after trial until the time is over."""

import math
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from optuna import Trial, TrialPruned
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from features.errors import RecstackError, first_line
from recstack.config import StackConfig
from recstack.tuning.space import Space
from recstack.tuning.study import MADE, REPEATS, RUN, SECONDS, WORKER, fail, is_pruned, next_trial, results, stop

# So many failures one after the other are no matter of settings.
_MOST_FAILURES = 5


class OutOfTimeError(Exception):
    """The time of the search is over."""


class TrialReport:
    """What a trial tells about itself while it runs."""

    def __init__(self, study: Study, trial: Trial, until: float) -> None:
        """Reports to the trial; `until` is the end of the search in seconds since 1970."""
        self._study, self._trial, self._until = study, trial, until
        self._step = 0

    def run(self, run_id: str, *, is_new: bool) -> float | None:
        """Names the trial's training run.

        Args:
            run_id: Id of the run.
            is_new: whether the run was not there before.

        Returns:
            The quality that a former trial of the same run reached, if there was one.
        """
        made = is_new or bool(self._trial.user_attrs.get(MADE))
        self._trial.set_user_attr(RUN, run_id)
        self._trial.set_user_attr(MADE, made)
        done = (each for each in results(self._study) if each.outcome == "done" and each.run == run_id)
        return next((each.quality for each in done), None)

    def quality(self, share: float, value: float) -> None:
        """Reports the best quality so far after a share of the training.

        Raises:
            TrialPruned: other trials were better at that share.
        """
        step = round(100 * share)
        if step <= self._step:  # before a whole percent is done
            return
        self._step = step
        self._trial.report(value, step)
        if step < 100 and REPEATS not in self._trial.user_attrs and is_pruned(self._study, self._trial):
            raise TrialPruned

    def require_time(self) -> None:
        """Ends the trial if the time of the search is over.

        Raises:
            OutOfTimeError: it is.
        """
        if time.time() > self._until:
            raise OutOfTimeError


Objective: TypeAlias = Callable[[StackConfig, TrialReport], float]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a process of the search ends, and what it is called."""

    until: float
    """End of the search in seconds since 1970."""
    confirm_from: float = math.inf
    """From then on the best trials are repeated with another seed; in seconds since 1970."""
    trials: int = 0
    """Number of trials, those of other processes and former calls included; 0: as many as fit."""
    worker: int = 0
    """Number of the process."""


def search(study: Study, space: Space, objective: Objective, limits: Limits) -> None:
    """Runs trials until the time is over, enough of them were run, or nothing works any more.

    Args:
        study: of the search; other processes may share it.
        space: what is searched.
        objective: trains a configuration and returns its quality on validation.
        limits: when it ends.
    """
    while time.time() < limits.until and not is_over(study, limits.trials):
        trial = next_trial(study, space, confirming=time.time() >= limits.confirm_from)
        trial.set_user_attr(WORKER, limits.worker)
        run_trial(study, trial, space, objective, limits.until)


def is_over(study: Study, limit: int) -> bool:
    """Whether enough trials were run, or the last ones all failed."""
    began = [each for each in results(study) if each.outcome != "stopped"]
    last = [each.outcome for each in began if each.outcome != "running"][-_MOST_FAILURES:]
    return bool(0 < limit <= len(began) or last == ["failed"] * _MOST_FAILURES)


def run_trial(study: Study, trial: Trial, space: Space, objective: Objective, until: float) -> None:
    """Runs one trial and records how it ended, whatever that is."""
    started = time.monotonic()
    try:
        stack = space.suggest(trial)
        if REPEATS in trial.user_attrs:
            stack = replace(stack, seed=(stack.seed + 1) % 2**32)
        quality = objective(stack, TrialReport(study, trial, until))
        if not math.isfinite(quality):
            raise RecstackError(f"the quality on validation is {quality}")
    except TrialPruned:
        _took(trial, started)
        study.tell(trial, state=TrialState.PRUNED)
    except OutOfTimeError:
        _took(trial, started)
        stop(study, _frozen(study, trial))
    except Exception as error:
        _took(trial, started)
        if not isinstance(error, RecstackError):
            traceback.print_exception(error, file=sys.stderr)
        fail(study, _frozen(study, trial), _reason(error))
    else:
        _took(trial, started)
        study.tell(trial, quality)


def _took(trial: Trial, started: float) -> None:
    trial.set_user_attr(SECONDS, round(time.monotonic() - started, 1))


def _frozen(study: Study, trial: Trial) -> FrozenTrial:
    return study.get_trials(deepcopy=False)[trial.number]


def _reason(error: Exception) -> str:
    """Why a trial failed, in one line."""
    is_memory = isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"
    return f"out of memory: {first_line(error)}" if is_memory else first_line(error)
