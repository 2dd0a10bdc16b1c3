"""`recstack tune`: a configuration in, a better one out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import tyro
from rich.table import Table

from features.disk.layout import StageName
from recstack.arguments import StackArguments, parse
from recstack.config import read_config
from recstack.console import Voice, progress_bar

if TYPE_CHECKING:
    from optuna.study import Study

    from recstack.tuning.study import TrialResult
    from recstack.tuning.tune import Tuning

_SHOWN_TRIALS = 8


@dataclass(frozen=True, kw_only=True)
class TuneArguments(StackArguments):
    """Searches the settings of a stage on the validation split; the same command again goes on with the search."""

    stage: tyro.conf.Positional[StageName] = "retrieval"
    """Stage whose settings are searched. Tune retrieval before the list ranker, which orders its candidates."""

    minutes: float = 60.0
    """Wall time that the search may take."""
    workers: int = 1
    """Trials trained at once, each in a process of its own that has its share of the cores."""
    trials: int = 0
    """Trials at most, those of former calls included; 0: as many as fit into the time."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(TuneArguments, "tune", arguments)
    tune(parsed, Voice("tune", as_json=parsed.json))
    return 0


def tune(arguments: TuneArguments, voice: Voice) -> "Tuning":
    """Searches, shows the trials and says where the best configuration is.

    Raises:
        ConfigError: the configuration cannot be tuned.
        InputError: the budget is not positive, there is no dataset, or another search of it is running.
        RecstackError: the processes of the search die again and again.
    """
    arguments.stack.require_dataset()
    from recstack.tuning.searched import SEARCHED
    from recstack.tuning.tune import Budget
    from recstack.tuning.tune import tune as run

    budget = Budget(minutes=arguments.minutes, workers=arguments.workers, trials=arguments.trials)
    with progress_bar("tune") as update:
        found = run(
            arguments.stack,
            SEARCHED[arguments.stage],
            read_config(arguments.config),
            budget,
            _follow(voice, update, 60 * arguments.minutes),
            voice.progress,
        )
    voice.show(_table(found))
    voice.result(_summary(found), _as_json(found))
    return found


def _follow(voice: Voice, update: Callable[[int, int, str], None], seconds: float) -> "Callable[[Study, float], None]":
    """Says in one line how each trial ended, and shows the trials at work."""
    from recstack.tuning.study import results

    told: set[int] | None = None

    def follow(study: "Study", gone: float) -> None:
        nonlocal told
        trials = results(study)
        ended = {trial.number: trial for trial in trials if trial.outcome != "running"}
        told = set(ended) if told is None else told
        for number in sorted(ended.keys() - told):
            voice.progress(_line(ended[number]))
        told |= ended.keys()
        best = max((trial.quality or 0.0 for trial in trials if trial.outcome == "done"), default=None)
        running = ", ".join(
            f"trial {_number(t)} {t.share:.0%}{_shown(t.quality)}" for t in trials if t.outcome == "running"
        )
        update(round(gone), round(seconds), running + ("" if best is None else f"  best{_shown(best)}"))

    return follow


def _number(trial: "TrialResult") -> str:
    return str(trial.number) if trial.continues is None else f"{trial.number} (going on with {trial.continues})"


def _shown(quality: float | None) -> str:
    return "" if quality is None else f" {quality:.4f}"


def _line(trial: "TrialResult") -> str:
    why = f": {trial.why}" if trial.why else f" at {trial.share:.0%}" if trial.outcome != "done" else ""
    again = "" if trial.repeats is None else f" (trial {trial.repeats} with another seed)"
    again += "" if trial.continues is None else f" (went on with trial {trial.continues})"
    return f"trial {trial.number}{again} {trial.outcome}{_shown(trial.quality)}{why} ({trial.seconds:,.0f} s)"


def _table(found: "Tuning") -> Table:
    """The given configuration and the best finished trials."""
    from recstack.tuning.document import shown

    done = [trial for trial in found.trials if trial.number in found.qualities]
    done.sort(key=lambda trial: (trial != found.first, trial != found.best, -found.qualities[trial.number]))
    counts = Counter(trial.outcome for trial in found.trials)
    caption = ", ".join(f"{number} {outcome}" for outcome, number in counts.most_common())
    table = Table(
        title="Finished trials: yours, then the best first",
        title_justify="left",
        caption=caption,
        caption_justify="left",
    )
    for name in ("trial", found.searched.metric, "seeds", "s"):
        table.add_column(name, justify="right")
    table.add_column("changed", overflow="fold")
    for trial in done[:_SHOWN_TRIALS]:
        lines = [shown(change) for change in found.changes[trial.number]] or ["nothing: as given"]
        quality, seeds = f"{found.qualities[trial.number]:.4f}", str(found.seeds[trial.number])
        table.add_row(str(trial.number), quality, seeds, f"{trial.seconds:,.0f}", "\n".join(lines))
    return table


def _summary(found: "Tuning") -> str:
    config = found.layout.config
    if found.best is None:
        return f"{config}: as given, for no trial was finished in time; run the same command again, it goes on"
    done = f"{len(found.trials)} trials, {found.searched.metric} on validation {found.qualities[found.best.number]:.4f}"
    if found.best == found.first:
        return f"{done}: nothing was better than {config}, the configuration as given; report: {found.layout.report}"
    done += "" if found.first is None else f" ({found.qualities[found.first.number]:.4f} as given)"
    return f"{done}: run `recstack train --config {config}`; report: {found.layout.report}"


def _as_json(found: "Tuning") -> dict[str, object]:
    return {
        "config": str(found.layout.config),
        "report": str(found.layout.report),
        "best": None if found.best is None else found.best.number,
        "trials": [
            {**asdict(trial), "changes": [asdict(change) for change in found.changes[trial.number]]}
            for trial in found.trials
        ],
    }
