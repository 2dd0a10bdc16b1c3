"""Whatever a file holds, `init` and `prepare` count each of its lines, or stop with an error for the user."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.config import TableSource
from beam_pipelines.prepare import prepare_dataset
from beam_pipelines.profile.raw_table import profile_table
from beam_pipelines.sources.sniffing import sniff_source
from features.disk.layout import DatasetLayout
from features.errors import InputError, RecstackError
from recstack.config import parse_config
from recstack.init.document import render
from recstack.init.propose import propose
from recstack.init.roles import Given
from tests.beam_pipelines.sources.text_tables import COMPRESSIONS, csv_text
from tests.recstack.init.tables import log

_FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
few = settings(max_examples=6, suppress_health_check=_FIXTURES)
many = settings(max_examples=60, suppress_health_check=_FIXTURES)

_DELIMITERS = st.sampled_from([",", "\t", ";", "|", "::"])
_ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le"])
_LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
_TITLES = st.sampled_from(
    ["plain", "Café", 'a "quoted" one', "it's; two, three|four", "", "NULL", "12", "-", "über\tall", "::"]
)
_BROKEN = st.sampled_from(
    ['"', "x", "1,2", ',"', '"a,b', "1\t2\t3\t4\t5\t6", "\\", ";;;;;;", "a::b::c", "é", '1,2,"3"4,5', "\x00"]
)


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, dict[str, str], int]:
    """A log in some dialect with some lines that are no rows; what has to be known to read it; and its lines."""
    delimiter, encoding = draw(_DELIMITERS), draw(_ENCODINGS)
    table = log().head(60)
    rows = [[str(u), str(i), str(t), draw(_TITLES)] for u, i, t in table.itertuples(index=False)]
    lines = csv_text([["user_id", "item_id", "timestamp", "title"], *rows], delimiter=delimiter).split("\n")[:-1]
    for broken in draw(st.lists(_BROKEN, max_size=4)):
        lines.insert(draw(st.integers(1, len(lines))), broken)
    text = draw(_LINE_ENDS).join([*lines, draw(st.sampled_from(["", "\n"])).strip("\n")])
    data = text.encode(encoding, "replace")
    return data, {"delimiter": delimiter, "encoding": encoding}, sum(map(bool, lines)) - 1


def counted(source: TableSource) -> int:
    profile = profile_table("interactions", source)
    return profile.num_rows + profile.num_refused + profile.continuation_lines


@many
@given(file=files(), compression=st.sampled_from(list(COMPRESSIONS)))
def test_every_line_is_a_row_refused_or_a_continuation(tmp_path: Path, file: Any, compression: str) -> None:
    data, known, num_lines = file
    path = tmp_path / f"log.csv{compression}"
    path.write_bytes(COMPRESSIONS[compression](data))
    given = TableSource(path=str(path), **known)
    assert counted(given) == num_lines
    sniffed = sniff_source(TableSource(path=str(path), encoding=known["encoding"]))
    # Whatever the delimiter is taken for, no line is lost; a first line that reads as data is a row.
    assert counted(sniffed.source) == num_lines + (not sniffed.has_header) - sniffed.source.skip


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@many
@given(
    lines=st.lists(
        st.dictionaries(st.sampled_from("abc"), _VALUES).map(json.dumps)
        | st.dictionaries(st.sampled_from("abc"), _VALUES).map(repr)
        | st.sampled_from(["x", "{", "[1", "3"]),
        min_size=2,
    )
)
def test_every_line_of_json_is_a_row_or_refused(tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with contextlib.suppress(InputError):
        assert counted(TableSource(path=str(path))) == len(lines)


@few
@given(file=files())
@pytest.mark.slow
def test_a_proposal_is_prepared_or_says_why_not(tmp_path: Path, file: Any) -> None:
    data, known, _ = file
    path = tmp_path / "log.csv"
    path.write_bytes(data)
    with contextlib.suppress(RecstackError):
        source = TableSource(path=str(path), **known)
        stack = parse_config(
            render(propose({"interactions": source}, Given(), workdir="w"), command="init"), "made.toml"
        )
        prepare_dataset(
            stack.features, replace(stack.pipeline, report=False), DatasetLayout(tmp_path / "dataset"), seed=1
        )
