"""One process of `recstack tune`: `python -m recstack.tuning.worker STAGE DIRECTORY NUMBER UNTIL CONFIRM_FROM TRIALS`.

It ends when its standard input does, so that it never outlives the process that started it.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import cast

from features.disk.files import in_use
from features.disk.layout import StageName
from features.disk.searches import TuningLayout
from features.errors import RecstackError
from recstack.config import StackConfig, load_config
from recstack.tuning.search import Limits, TrialReport, search
from recstack.tuning.searched import SEARCHED
from recstack.tuning.settings import LogFacts, Searched
from recstack.tuning.space import Space
from recstack.tuning.study import open_study


def main(arguments: list[str]) -> int:
    """Runs trials; returns the exit code."""
    stage, directory, number, until, confirm_from, trials = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started it ends it
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        limits = Limits(until=float(until), confirm_from=float(confirm_from), trials=int(trials), worker=int(number))
        work(SEARCHED[cast("StageName", stage)], TuningLayout(Path(directory)), limits)
    except RecstackError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def work(searched: Searched, layout: TuningLayout, limits: Limits) -> None:
    """Runs the trials of one worker.

    Args:
        searched: the stage whose settings are searched.
        layout: the search's directory.
        limits: when it ends.

    Raises:
        InputError: the dataset is missing, damaged or of another schema.
    """
    from recstack.tuning.objective import TrainStage
    from recstack.tuning.retention import remove_losers

    with in_use(layout.workers):
        stack = load_config(layout.base)
        space = Space(base=stack, facts=LogFacts.of(stack, stack.require_dataset()), searched=searched)
        study = open_study(layout, stack.seed + limits.worker)
        train = TrainStage(stack, searched, layout)

        def objective(candidate: StackConfig, report: TrialReport) -> float:
            remove_losers(study, stack, is_over=False)
            return train(candidate, report)

        search(study, space, objective, limits)
        remove_losers(study, stack, is_over=True)


def _end_with_input() -> None:
    # Not by `sys.stdin`, whose lock the interpreter would wait for when it ends.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
