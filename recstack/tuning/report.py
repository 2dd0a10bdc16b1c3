"""`report.html` of a search: quality over time, what each setting matters, all trials."""

from collections.abc import Mapping, Sequence
from html import escape
from itertools import accumulate

from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import TrialState

from features.disk.searches import TuningLayout
from recstack.tuning.document import Change, shown
from recstack.tuning.study import TrialResult
from trainer.evaluation.html import svg, write_page

_LEAST_TRIALS = 8
_LEAST_SHARE = 0.005
_MOST_SETTINGS = 12


def write_report(
    layout: TuningLayout,
    study: Study,
    trials: Sequence[TrialResult],
    changes: Mapping[int, Sequence[Change]],
    metric: str,
) -> None:
    """Writes the report of a search.

    Args:
        layout: the search's directory.
        study: its trials in Optuna's form.
        trials: the same as results.
        changes: By trial, what differs from the given configuration.
        metric: Name of the quality.
    """
    parts = [
        f"<p>{metric} on the validation split; more is better. Each trial trains one configuration, in a run of its "
        "own. Once four had ended, trials that were worse than half of the others at a quarter or a half of their "
        "training were ended there. In the last quarter of the time the best ones are trained again with another "
        "seed, and their means decide. The best of many trials looks better on validation than it is on other data, "
        "so judge the result with <code>recstack evaluate</code>, on the test split.</p>",
        f"<h2>Quality over time</h2>{_plot_quality(trials, metric)}",
        f"<h2>What each setting matters</h2>{_importances(study)}",
        f"<h2>All trials</h2>{_table(trials, changes, metric)}",
    ]
    write_page(f"Search {layout.id}", parts, layout.report)


def _plot_quality(trials: Sequence[TrialResult], metric: str) -> str:
    from matplotlib.figure import Figure

    spent = list(accumulate(trial.seconds / 60 for trial in trials))
    ended = [(minutes, trial) for minutes, trial in zip(spent, trials, strict=True) if trial.quality is not None]
    if not ended:
        return "<p>No trial has reached its first validation yet.</p>"
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for outcome, colour in (("done", "C0"), ("pruned", "0.7"), ("stopped", "C1"), ("failed", "C3")):
        points = [(minutes, trial.quality) for minutes, trial in ended if trial.outcome == outcome]
        if points:
            axes.plot(*zip(*points, strict=True), "o", color=colour, label=outcome)
    done = [(minutes, trial.quality or 0.0) for minutes, trial in ended if trial.outcome == "done"]
    if done:
        best = accumulate((quality for _, quality in done), max)
        axes.step([minutes for minutes, _ in done], list(best), where="post", color="C2", label="best so far")
    axes.set(xlabel="minutes of training, all trials together", ylabel=f"{metric}, validation")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    return svg(figure)


def _importances(study: Study) -> str:
    """Shares of the variance of the quality that each setting explains, by functional ANOVA over finished trials."""
    from matplotlib.figure import Figure

    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(done) < _LEAST_TRIALS or len({trial.value for trial in done}) == 1:
        return f"<p>Too few finished trials to tell; {_LEAST_TRIALS} are needed.</p>"
    shares_by_name = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    found = [(name, share) for name, share in shares_by_name.items() if share > _LEAST_SHARE][:_MOST_SETTINGS]
    if not found:
        return "<p>The finished trials differ in nothing that all of them have.</p>"
    names, shares = zip(*reversed(found), strict=True)
    figure = Figure(figsize=(9, 0.9 + 0.32 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(list(names), shares, color="C0")
    axes.set(xlabel="share of the variance of the quality (fANOVA over the finished trials)", xlim=(0, None))
    axes.grid(axis="x", alpha=0.3)
    return svg(figure)


def _table(trials: Sequence[TrialResult], changes: Mapping[int, Sequence[Change]], metric: str) -> str:
    rows = "".join(
        f"<tr><td>{trial.number}</td><td>{trial.outcome}</td><td>{_number(trial.quality)}</td>"
        f"<td>{trial.share:.0%}</td><td>{trial.seconds:,.0f}</td><td>{escape(trial.run)}</td>"
        f"<td style='text-align: left'>{_told(trial, changes[trial.number])}</td></tr>"
        for trial in trials
    )
    head = "".join(f"<th>{name}</th>" for name in ("trial", "outcome", metric, "trained", "seconds", "run", "changes"))
    return f"<table><tr>{head}</tr>{rows}</table>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _told(trial: TrialResult, changed: Sequence[Change]) -> str:
    lines = [shown(change) for change in changed] or ["as it is"]
    lines += [] if trial.repeats is None else [f"trial {trial.repeats} with another seed"]
    lines += [] if trial.continues is None else [f"went on with trial {trial.continues}"]
    return "<br>".join(escape(line) for line in (*lines, *([trial.why] if trial.why else [])))
