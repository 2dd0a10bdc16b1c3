"""Which training runs a search leaves behind: that of the best trial, and those that are going to go on."""

from optuna.study import Study
from optuna.trial import TrialState

from recstack.config import StackConfig
from recstack.retraining.registry import served_runs
from recstack.tuning.study import MADE, RUN, best_of, results, rivals_of


def remove_losers(study: Study, stack: StackConfig, *, is_over: bool) -> None:
    """Removes the runs of finished trials that are not the best, as far as the search itself made them.

    Runs that were there before, the current one, those that are served and those in use stay.

    Args:
        study: All trials.
        stack: Where the search started.
        is_over: Whether the best is final; else those stay that another seed may show to be the best.
    """
    from trainer.training.runs import remove_run

    trials, best = study.get_trials(deepcopy=False), best_of(results(study))
    kept = {trial.user_attrs.get(RUN) for trial in trials if trial.state in (TrialState.RUNNING, TrialState.WAITING)}
    kept |= {best.run} if best is not None else set()
    kept |= set() if is_over else {rival.run for rival in rivals_of(results(study))}
    made = {trial.user_attrs[RUN] for trial in trials if trial.user_attrs.get(MADE)} - kept
    there = [run for run in stack.layout.runs.all() if run.id in made]
    served = served_runs(stack.layout) if there else []
    for run in there:
        if run not in served:
            remove_run(stack.layout.runs, run)
