"""`recstack bench-serve`: bad arguments; the load itself is tested with the load generator."""

from collections import Counter

import numpy as np
import pytest
from rich.console import Console

from recstack.__main__ import main
from recstack.verbs.bench_serve import _table
from serving.extras.load_generator import Outcome


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--requests", "/nowhere"], "/nowhere"),
        (["--requests", "."], "no version in it"),
        (["--requests", ".", "--seconds", "0"], "--seconds 0"),
        (["--requests", ".", "--rate", "-1"], "--rate -1"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["bench-serve", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_where_nothing_was_answered_there_is_no_percentile():
    outcome = Outcome(seconds=1.0, milliseconds=np.array([]), errors=Counter(UNAVAILABLE=3))
    console = Console(width=80, record=True)
    console.print(_table(outcome, {"p50": None}))
    assert console.export_text().splitlines()[3].split() == ["│", "0.0", "│", "-", "│", "3", "UNAVAILABLE", "│"]
