"""`recstack bench-serve`: bad arguments; the load itself is tested with the load generator."""

import pytest

from recstack.__main__ import main


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
