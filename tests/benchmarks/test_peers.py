import json
import sys
from pathlib import Path

import numpy as np
import peers
import peers_plot
import pytest

from features.errors import RecstackError
from tests.ragged import ragged as ragged_rows
from trainer.metrics.protocol import EvaluationSet, Interactions


def system(validations, *, end: str) -> list[str]:
    lines = [
        json.dumps({"untimed": 1000.0, "cpu": 5.0, "peak": 7, "validation": value}) + "\n" for value in validations
    ]
    return [sys.executable, "-c", f"import time; print({''.join(lines)!r}, end='', flush=True); {end}"]


def run(validations, end="pass", limit=None, patience=None):
    return peers.run(system(validations, end=end), lambda path: 0.0, limit=limit, patience=patience)


def test_a_course_knows_its_best_epoch_and_the_first_one_of_a_quality():
    epochs = tuple(
        peers.Epoch(seconds=10.0 * n, cpu_seconds=20.0 * n, validation=value, peak_bytes=0, lists=Path(str(n)))
        for n, value in enumerate([0.1, 0.3, 0.2, 0.3], start=1)
    )
    course = peers.Course(epochs=epochs, ended="by itself")
    assert course.best is epochs[1]
    assert course.lists == Path("2")
    reached = [course.first_with(value) for value in (0.05, 0.1, 0.2, 0.3, 0.31)]
    assert reached == [epochs[0], epochs[0], epochs[1], epochs[1], None]


def test_what_is_not_timed_is_taken_off_the_clock():
    course = run([0.1])
    assert course.ended == "by itself"
    assert -1000.0 < course.epochs[0].seconds < -900.0


def test_a_system_that_does_not_become_better_is_stopped():
    course = run([0.2, 0.3, 0.3, 0.1, 0.9], end="time.sleep(600)", patience=2)
    assert course.ended == "no longer better"
    assert [epoch.validation for epoch in course.epochs] == [0.2, 0.3, 0.3, 0.1]


def test_a_system_out_of_time_is_stopped_after_its_epoch():
    course = run([0.2, 0.3], end="time.sleep(600)", limit=-1000.0)
    assert course.ended == "out of time"
    assert len(course.epochs) == 1


@pytest.mark.parametrize(("validations", "end"), [([0.1], "raise SystemExit(3)"), ([], "pass")])
def test_a_failure_is_an_error(validations, end):
    with pytest.raises(RecstackError, match=f"after {len(validations)} epochs"):
        run(validations, end)


def test_a_peer_gets_the_histories_in_order_and_no_targets():
    interactions = Interactions.from_events(
        np.array([0, 0]), np.array([4, 2]), np.array([9, 8]), num_users=1, num_items=5
    )
    queries = EvaluationSet(
        user_rows=np.array([0]),
        history=ragged_rows([[2, 4]]),
        history_timestamps=np.array([8, 9]),
        seen=ragged_rows([[2, 4]]),
        targets=ragged_rows([[3]]),
        num_items=5,
    )
    arrays = peers.as_arrays(interactions, {"test": queries})
    assert {name: values.tolist() for name, values in arrays.items()} == {
        "train_users": [0, 0],
        "train_items": [2, 4],
        "train_seconds": [8, 9],
        "test_lengths": [2],
        "test_items": [2, 4],
        "test_seconds": [8, 9],
    }


def test_the_plot_shows_a_line_that_never_falls_for_each_system(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = {}
    monkeypatch.setattr(Axes, "plot", lambda axes, x, y, label, **style: drawn.update({label: (list(x), list(y))}))
    monkeypatch.setattr(Axes, "legend", lambda axes: None)
    peers_plot.plot_courses({"ours": [(1, 0.2), (2, 0.1), (4, 0.3)], "als": [(3, 0.1)]}, "ndcg@10", tmp_path / "p")
    assert drawn == {"ours": ([1, 2, 4], [0.2, 0.2, 0.3]), "als": ([3], [0.1])}
    assert "best validation ndcg@10" in (tmp_path / "p").read_text()
