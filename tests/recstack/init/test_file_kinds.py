"""Files that are something else than their names say, and columns that are named like a role and cannot have it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pytest

from tests.recstack.init.tables import counts, log, refusal, stack_of, written

_WRITE: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "parquet": lambda table, path: table.to_parquet(path),
    "feather": lambda table, path: pyarrow.feather.write_feather(pa.Table.from_pandas(table), path),
    "orc": lambda table, path: pyarrow.orc.write_table(pa.Table.from_pandas(table), path),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log.csv", "log.json", "log.download"])
@pytest.mark.parametrize("kind", _WRITE)
def test_a_binary_format_is_known_by_its_first_bytes(tmp_path: Path, kind: str, name: str) -> None:
    _WRITE[kind](log(), tmp_path / name)
    stack = stack_of(tmp_path, "--interactions", str(tmp_path / name))
    assert stack.pipeline.interactions.format == kind
    assert counts(stack, tmp_path)["interactions_read"] == len(log())


@pytest.mark.parametrize("name", ["log.csv", "log.xlsx", "log"])
@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("%PDF-1.7\n1 0 obj\n", "a PDF document"),
        ("\n<!DOCTYPE html><html><body>404</body></html>\n", "a web page"),
        ("<html><table><tr><td>1</td></tr></table></html>", "a web page"),
        ('<?xml version="1.0"?><rows><row/></rows>', "XML"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "git lfs pull"),
    ],
)
def test_what_is_no_table_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, what: str, name: str
) -> None:
    (tmp_path / name).write_text(content)
    error = refusal(capsys, tmp_path, "--interactions", str(tmp_path / name))
    assert f"{name}: is " in error
    assert what in error


@pytest.mark.parametrize("pattern", ["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M"])
def test_a_column_of_two_notations_of_times_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str
) -> None:
    texts = pd.to_datetime(log().timestamp, unit="s").dt.strftime(pattern)
    mixed = np.where(log().index % 4, log().timestamp.astype(str), texts)
    path = written(log().assign(timestamp=mixed), tmp_path / "log.csv")
    error = refusal(capsys, tmp_path, "--interactions", path)
    num_texts = len(range(0, len(log()), 4))
    assert f"mixes two notations: {len(log()) - num_texts:,} like '17" in error
    assert f"and {num_texts:,} like '{texts[0]}'" in error


@pytest.mark.parametrize(
    ("values", "held"),
    [(3, "one value, '3'"), (np.nan, "no value"), (np.tile([True, False], len(log()) // 2), "values of type boolean")],
)
def test_a_column_that_is_named_like_the_user_and_cannot_be_it_is_told_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], values: object, held: str
) -> None:
    path = written(log().assign(user_id=values), tmp_path / "log.csv")
    error = refusal(capsys, tmp_path, "--interactions", path)
    assert f"'user_id' is named so, but holds {held}" in error
