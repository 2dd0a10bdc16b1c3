"""The search with objectives that train nothing."""

import time
from collections.abc import Callable

import pytest
from optuna.study import Study

from features.disk.searches import TuningLayout
from features.errors import InputError, RecstackError
from recstack.config import StackConfig
from recstack.tuning.search import Limits, Objective, TrialReport, search
from recstack.tuning.space import Space
from recstack.tuning.study import best_of, next_trial, of_their_own, qualities, results
from recstack.verbs.tune import _line

LATER = 4e9
NOW = 0.0
Opened = Callable[[], Study]


def wider_is_better(stack: StackConfig, report: TrialReport) -> float:
    return stack.retrieval.dimension / 1000


def run(study: Study, space: Space, objective: Objective, limit: int, until: float = LATER) -> None:
    search(study, space, objective, Limits(until=until, trials=limit))


def best_number(study: Study) -> int:
    best = best_of(results(study))
    assert best is not None
    return best.number


def test_the_first_trial_is_the_configuration_and_the_best_is_never_worse(opened: Opened, space: Space) -> None:
    tried: list[StackConfig] = []

    def narrow_is_better(stack: StackConfig, report: TrialReport) -> float:
        tried.append(stack)
        return float(stack == space.base)

    study = opened()
    run(study, space, narrow_is_better, 6)
    assert tried[0] == space.base
    assert best_number(study) == 0
    assert len({stack.to_toml() for stack in tried}) == 6


def test_changes_build_on_the_best_so_far(opened: Opened, space: Space) -> None:
    study = opened()
    run(study, space, wider_is_better, 5)
    first, wide, ensemble, deeper, sides = results(study)
    assert first.params["dimension"] == 64
    assert wide.params == first.params | {"dimension": 128}
    assert ensemble.params == wide.params | {"ensemble": "gru"}
    assert deeper.params == wide.params | {"encoder.layers": 2, "encoder.heads": 2}
    assert sides.params == wide.params | {"encoder.side_features": True}


def test_a_later_call_goes_on(opened: Opened, space: Space) -> None:
    run(opened(), space, wider_is_better, 3)
    before = results(opened())
    again = opened()
    run(again, space, wider_is_better, 5)
    assert results(again)[:3] == before
    assert len(results(again)) == 5
    # Not what the former call had tried already.
    assert len({tuple(sorted(trial.params.items())) for trial in results(again)}) == 5


def test_a_killed_trial_is_begun_again_with_its_settings(opened: Opened, space: Space, layout: TuningLayout) -> None:
    study = opened()
    run(study, space, wider_is_better, 1)
    trial = next_trial(study, space)
    stack = space.suggest(trial)
    with layout.study.open("ab") as journal:  # a kill within a write
        journal.write(b'{"op_code": 5, "wor')
    layout.study.with_name("study.journal.lock").symlink_to(layout.study)
    tried: list[StackConfig] = []

    def remember(stack: StackConfig, report: TrialReport) -> float:
        tried.append(stack)
        return 0.0

    again = opened()
    run(again, space, remember, 2)
    assert tried == [stack]
    assert [each.outcome for each in results(again)] == ["done", "stopped", "done"]
    assert [each.continues for each in results(again)] == [None, None, 1]
    assert [each.number for each in of_their_own(results(again))] == [0, 2]
    assert "trial 2 (went on with trial 1) done" in _line(results(again)[2])
    assert results(again)[2].params == results(again)[1].params


def test_a_journal_that_is_no_journal_is_named(opened: Opened, layout: TuningLayout) -> None:
    opened()
    with layout.study.open("ab") as journal:
        journal.write(b"garbage\n")
    with pytest.raises(InputError, match=r"study.journal: not what Optuna wrote .*; delete .* to search anew"):
        opened()


def test_the_end_of_the_time_stops_a_trial_that_the_next_call_finishes(opened: Opened, space: Space) -> None:
    def slow(stack: StackConfig, report: TrialReport) -> float:
        report.run("r1", is_new=True)
        report.quality(0.5, 0.1)
        while True:
            report.require_time()

    study = opened()
    run(study, space, slow, 0, until=time.time() + 0.05)
    (stopped,) = results(study)
    assert (stopped.outcome, stopped.quality, stopped.share) == ("stopped", 0.1, 0.5)
    again = opened()
    run(again, space, wider_is_better, 1)
    assert [each.outcome for each in results(again)] == ["stopped", "done"]
    assert again.trials[1].user_attrs["made_by_tune"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RecstackError("the loss became nan in epoch 2: the training diverged"), "the training diverged"),
        (MemoryError("8 GiB"), "out of memory: 8 GiB"),
        (ValueError("a mistake\nof ours"), "a mistake"),
    ],
)
def test_a_trial_that_fails_is_a_result(opened: Opened, space: Space, error: Exception, why: str) -> None:
    def fails(stack: StackConfig, report: TrialReport) -> float:
        if stack.retrieval.dimension == 128:
            raise error
        return 0.5

    study = opened()
    run(study, space, fails, 3)
    outcomes = [(trial.outcome, trial.why) for trial in results(study)]
    assert [outcome for outcome, _ in outcomes] == ["done", "failed", "done"]
    assert why in outcomes[1][1]


def test_no_number_is_no_quality(opened: Opened, space: Space) -> None:
    study = opened()
    run(study, space, lambda stack, report: float("nan"), 1)
    assert results(study)[0].why == "the quality on validation is nan"


def test_failures_in_a_row_end_the_search(opened: Opened, space: Space) -> None:
    def fails(stack: StackConfig, report: TrialReport) -> float:
        raise RecstackError("no space left")

    study = opened()
    run(study, space, fails, 0)
    assert [trial.outcome for trial in results(study)] == ["failed"] * 5
    assert best_of(results(study)) is None


def test_trials_worse_than_half_of_the_others_are_pruned(opened: Opened, space: Space) -> None:
    heights = iter([1.0, 0.9, 0.8, 0.7, 0.5, 0.5])

    def grows(stack: StackConfig, report: TrialReport) -> float:
        height = next(heights)
        for share in (0.1, 0.3, 0.6, 1.0):
            report.quality(share, share * height)
        return height

    study = opened()
    run(study, space, grows, 6)
    trials = results(study)
    # The first four are trained to their end, though three of them are worse than the first.
    assert [trial.outcome for trial in trials] == ["done"] * 4 + ["pruned"] * 2
    assert (trials[4].share, trials[4].quality) == (0.3, 0.15)


def test_at_the_end_the_best_are_trained_with_another_seed(opened: Opened, space: Space) -> None:
    """The trial that was best by chance alone is found out."""
    lucky, steady = 128, 192

    def objective(stack: StackConfig, report: TrialReport) -> float:
        is_first_seed = stack.seed == space.base.seed
        report.quality(0.3, -1.0 if not is_first_seed else 0.5)  # a repeat is never pruned
        found = {lucky: 0.9 if is_first_seed else 0.1, steady: 0.7}
        return found.get(stack.retrieval.dimension, 0.4)

    study = opened()
    for dimension in (64, lucky, steady, 32):
        study.enqueue_trial(space.start() | {"dimension": dimension})
    run(study, space, objective, 5)
    (chance,) = (each.number for each in results(study) if each.params["dimension"] == lucky)
    (better,) = (each.number for each in results(study) if each.params["dimension"] == steady)
    assert best_number(study) == chance
    search(study, space, objective, Limits(until=LATER, confirm_from=NOW, trials=6))
    assert results(study)[-1].repeats == chance
    search(study, space, objective, Limits(until=LATER, confirm_from=NOW, trials=8))
    assert [trial.repeats for trial in results(study)[5:]] == [chance, 0, better]
    assert qualities(results(study))[chance] == [0.9, 0.1]
    assert best_number(study) == better


def test_a_single_finished_trial_is_not_repeated(opened: Opened, space: Space) -> None:
    study = opened()
    search(study, space, wider_is_better, Limits(until=LATER, confirm_from=NOW, trials=3))
    assert [trial.repeats for trial in results(study)] == [None, None, 1]


def test_the_same_run_is_not_trained_twice(opened: Opened, space: Space) -> None:
    known: list[float | None] = []

    def same(stack: StackConfig, report: TrialReport) -> float:
        known.append(report.run("r1", is_new=True))
        return known[-1] or 0.25

    run(opened(), space, same, 2)
    assert known == [None, 0.25]
