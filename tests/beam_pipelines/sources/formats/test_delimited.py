"""No dialect, encoding, compression or broken line loses a row without counting it."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.sources.formats import delimited
from features.errors import InputError
from tests.beam_pipelines.sources.text_tables import COMPRESSIONS, csv_text, read

NAMES = ["user", "item", "note"]
ROWS = [[f"u{n % 7}", str(n), f"naïve {n}"] for n in range(60)]

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00\x1f\x1e\x1d\x1c\x01\x02\x03\x04"), max_size=8)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "::", "§", "^", " | "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_delimiter_and_line_end_gives_the_rows(tmp_path: Path, delimiter: str, line_end: str) -> None:
    path = tmp_path / "t.dat"
    path.write_bytes(csv_text([NAMES, *ROWS], delimiter=delimiter, line_end=line_end).encode())
    found = read(path, NAMES, format="csv", delimiter=delimiter)
    assert (found.rows, found.refused) == (ROWS, [])
    assert found.numbers == list(range(1, 61))


@pytest.mark.parametrize("ending", COMPRESSIONS)
@pytest.mark.parametrize("name", ["t.csv", "t.unknown"])
def test_every_compression_is_undone(tmp_path: Path, ending: str, name: str) -> None:
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(COMPRESSIONS[ending](csv_text([NAMES, *ROWS]).encode()))
    format = "auto" if name.endswith(".csv") else "csv"
    assert read(path, NAMES, format=format).rows == ROWS


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-8-sig", "utf-32", "mac-roman"])
def test_every_encoding_is_undone(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(csv_text([NAMES, *ROWS]).encode(encoding))
    assert read(path, NAMES, encoding=encoding).rows == ROWS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(csv_text([NAMES, *ROWS]).encode(encoding))
    assert read(path, NAMES).rows == ROWS


def test_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[user, item, f'{note}, "quoted"\nover lines'] for user, item, note in ROWS]
    path = tmp_path / "t.csv"
    path.write_text(csv_text([NAMES, *rows]), encoding="utf-8")
    for block in (16, 100, 1 << 20):
        monkeypatch.setattr(delimited, "_BLOCK_BYTES", block)
        found = read(path, NAMES)
        assert (found.rows, found.refused, found.continuation_lines) == (rows, [], len(rows))


def test_names_for_a_file_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(csv_text(ROWS), encoding="utf-8")
    assert read(path, NAMES, header=tuple(NAMES)).rows == ROWS


@pytest.mark.parametrize("first", [["196", "242", "3"], ["u1", "5.5", "x"]])
def test_a_first_line_of_data_is_not_taken_for_names(tmp_path: Path, first: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(csv_text([first, *ROWS]), encoding="utf-8")
    with pytest.raises(
        InputError, match=rf"the first line reads as data, .*{first[1]}.*; name the columns by `header`"
    ):
        read(path, NAMES)


@pytest.mark.parametrize(
    ("delimiter", "ending"), [(";", "csv"), ("|", "csv"), ("\t", "csv"), ("::", "csv"), (",", "tsv")]
)
def test_a_delimiter_that_is_another_one_is_named(tmp_path: Path, delimiter: str, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_text(csv_text([NAMES, *ROWS], delimiter=delimiter))
    with pytest.raises(InputError, match=r"the header is one field, .*; set delimiter = ") as caught:
        read(path, NAMES)
    assert str(caught.value).endswith(f"set delimiter = {delimiter!r} in pipeline.items")


@pytest.mark.parametrize("skip", [1, 3])
def test_lines_above_the_header_are_skipped(tmp_path: Path, skip: int) -> None:
    path = tmp_path / "t.csv"
    path.write_text("made by: x, y\n" * skip + csv_text([NAMES, *ROWS]), encoding="utf-8")
    assert read(path, NAMES, skip=skip).rows == ROWS


def test_spaces_around_the_names_of_columns_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("user, item , note\n1, 2,3\n", encoding="utf-8")
    assert read(path, NAMES).rows == [["1", " 2", "3"]]


def test_an_escape_takes_the_meaning_from_a_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('user,item,note\n1,2,a\\, b\n3,4,"say \\"x\\""\n', encoding="utf-8")
    assert read(path, NAMES, escape="\\").rows == [["1", "2", "a, b"], ["3", "4", 'say "x"']]


@pytest.mark.parametrize("places", [[30], [10, 40], [0, 1, 59], [58, 59]])
@pytest.mark.parametrize("note", ['"open', '"', '"a ""b'])
def test_a_quote_that_is_never_closed_takes_only_its_line(tmp_path: Path, places: list[int], note: str) -> None:
    lines = [",".join(row) for row in ROWS]
    for place in places:
        lines[place] = f"u1,{place},{note}"
    path = tmp_path / "t.csv"
    path.write_text("\n".join([",".join(NAMES), *lines]) + "\n", encoding="utf-8")
    found = read(path, NAMES)
    assert found.num_lines == len(lines)
    kept = [row for place, row in enumerate(ROWS) if place not in places]
    assert [row for row in found.rows if row in kept] == found.rows
    # Two lone quotes make one field of all between them, which is refused line by line.
    assert all(row in found.rows or str(found.refused).count(",".join(row)) for row in kept)


def test_quotes_of_tab_separated_text_are_characters(tmp_path: Path) -> None:
    rows = [[user, item, f'"{note}'] for user, item, note in ROWS]
    path = tmp_path / "t.tsv"
    path.write_text(csv_text([NAMES, *rows], delimiter="\t", quote=""), encoding="utf-8")
    found = read(path, NAMES)
    assert (found.rows, found.refused) == (rows, [])


def test_lines_within_quotes_that_look_like_rows_are_refused_as_rows(tmp_path: Path) -> None:
    swallowed = '"oops\n' + "".join(f"u{n},{n},fine\n" for n in range(20)) + 'u1,21,"'
    path = tmp_path / "t.csv"
    path.write_text(csv_text([NAMES, *ROWS]) + f"u1,0,{swallowed}\nu2,22,end\n", encoding="utf-8")
    found = read(path, NAMES)
    assert found.rows == [*ROWS, ["u2", "22", "end"]]
    assert len(found.refused) == 22
    assert {reason for _, reason, _ in found.refused} == {
        "inside quotes that go over lines which look like rows of their own"
    }


@many
@given(
    st.lists(st.lists(words, min_size=3, max_size=3).filter(lambda row: len("".join(row)) > 0), max_size=12), st.data()
)
def test_what_a_writer_wrote_comes_back(tmp_path: Path, rows: list[list[str]], data: st.DataObject) -> None:
    delimiter = data.draw(st.sampled_from([",", ";", "\t", "|"]))
    path = tmp_path / "t.csv"
    path.write_text(csv_text([NAMES, *rows], delimiter=delimiter), newline="", encoding="utf-8")
    found = read(path, NAMES, delimiter=delimiter, quote='"')
    assert found.rows == [[value or None for value in row] for row in rows]
    assert found.refused == []


@many
@given(st.lists(st.text(st.sampled_from('ab1",;\\ \té'), max_size=12), max_size=12), st.data())
def test_no_line_is_lost_whatever_it_holds(tmp_path: Path, lines: list[str], data: st.DataObject) -> None:
    options = {
        "delimiter": data.draw(st.sampled_from([",", ";", "\t", "::"])),
        "quote": data.draw(st.sampled_from(["auto", ""])),
        "escape": data.draw(st.sampled_from(["", "\\"])),
    }
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["", *lines]) + "\n", encoding="utf-8")
    found = read(path, ["a"], header=("a", "b", "c"), **options)
    assert found.num_lines == sum(1 for line in lines if line)
    assert sorted([*found.numbers, *(row for row, _, _ in found.refused)]) == list(
        range(1, len(found.rows) + len(found.refused) + 1)
    )


@many
@given(st.binary(max_size=60), st.sampled_from(["", "latin-1", "cp1252", "utf-16", "shift_jis", "ascii"]))
def test_any_bytes_are_rows_or_an_error_for_the_user(tmp_path: Path, data: bytes, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"x" + data)
    try:
        found = read(path, ["a"], header=("a", "b"), encoding=encoding)
    except InputError:
        return
    assert found.num_lines > 0
