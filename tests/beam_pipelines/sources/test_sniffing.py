"""What is sniffed reads the rows that were written, in every combination of delimiter, quote, header and encoding."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_pipelines.config import TableSource
from beam_pipelines.sources.sniffing import SniffedSource, sniff_source
from features.errors import InputError
from tests.beam_pipelines.sources.text_tables import COMPRESSIONS, csv_text, read

NAMES = ["user", "price", "title"]
TITLES = [
    "The Long, Winding Road",
    "Crime; and Punishment",
    "War & Peace",
    "Émile",
    "a|b",
    "It's 3:15",
    "Straße nach Süden",
]
ROWS = [[f"u{n % 9}", f"{n}.5", TITLES[n % len(TITLES)]] for n in range(1, 120)]

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sniffed(path: Path, text: str, encoding: str = "utf-8", **source: Any) -> SniffedSource:
    path.write_bytes(text.encode(encoding))
    return sniff_source(TableSource(path=str(path), **source))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "::", "^"])
@pytest.mark.parametrize("ending", ["csv", "tsv", "dat", "txt"])
@pytest.mark.parametrize("header", [True, False])
def test_the_delimiter_and_the_header_are_found(tmp_path: Path, delimiter: str, ending: str, header: bool) -> None:
    path = tmp_path / f"t.{ending}"
    rows = ROWS if delimiter != "::" else [[user, price, title.replace(":", "")] for user, price, title in ROWS]
    rows = [[field.replace("|", "/").replace("^", "") if delimiter == "|" else field for field in row] for row in rows]
    format = "auto" if ending in ("csv", "tsv") else "csv"
    found = sniffed(path, csv_text([NAMES, *rows] if header else rows, delimiter=delimiter), format=format)
    assert found.has_header == header
    assert ("header" in found.reasons) != header
    names = NAMES if header else ["column_1", "column_2", "column_3"]
    again = read(path, names, **({"format": format} | found.settings))
    assert (again.rows, again.refused) == (rows, [])


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "cp1251", "shift_jis", "utf-16-le", "utf-16", "utf-8-sig", "gb18030"]
)
def test_the_encoding_is_found(tmp_path: Path, encoding: str) -> None:
    words = {
        "cp1251": ["Война и мир", "Преступление и наказание", "Мастер и Маргарита", "Идиот"],
        "shift_jis": ["こころ", "吾輩は猫である", "雪国", "羅生門を読みました"],
        "gb18030": ["红楼梦是一部小说", "三国演义", "西游记与水浒传"],
    }.get(encoding, ["Café Amélie", "Übergrößenträger", "Crème brûlée", "señor año"])
    rows = [[f"u{n}", str(n), words[n % len(words)]] for n in range(1, 300)]
    found = sniffed(tmp_path / "t.csv", csv_text([NAMES, *rows]), encoding)
    assert read(tmp_path / "t.csv", NAMES, **found.settings).rows == rows


@pytest.mark.parametrize("lines", [1, 4])
@pytest.mark.parametrize("blank", ["", "\n"])
def test_lines_above_the_table_are_skipped(tmp_path: Path, lines: int, blank: str) -> None:
    text = "exported by somebody\n" * lines + blank + csv_text([NAMES, *ROWS], delimiter=";")
    found = sniffed(tmp_path / "t.csv", text)
    assert found.source.skip == lines + len(blank)
    assert read(tmp_path / "t.csv", NAMES, **found.settings).rows == ROWS


@pytest.mark.parametrize("ending", COMPRESSIONS)
def test_a_compressed_file_is_sniffed_like_any_other(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.csv{ending}"
    path.write_bytes(COMPRESSIONS[ending](csv_text([NAMES, *ROWS], delimiter=";").encode()))
    assert sniff_source(TableSource(path=str(path))).settings == {"delimiter": ";"}


def test_quotes_around_tabbed_fields_and_escaped_quotes(tmp_path: Path) -> None:
    quoted = "".join("\t".join(f'"{field}"' for field in row) + "\n" for row in [NAMES, *ROWS])
    assert sniffed(tmp_path / "t.tsv", quoted).settings == {"quote": '"'}
    escaped = "user,price,title\n" + "".join(f'u{n},{n},"say \\"{n}\\", twice"\n' for n in range(50))
    found = sniffed(tmp_path / "t.csv", escaped)
    assert found.settings == {"escape": "\\"}
    assert read(tmp_path / "t.csv", NAMES, **found.settings).rows[7] == ["u7", "7", 'say "7", twice']


def test_what_is_given_is_believed(tmp_path: Path) -> None:
    found = sniffed(tmp_path / "t.csv", csv_text([NAMES, *ROWS], delimiter=";"), delimiter=",")
    assert "delimiter" not in found.settings


def test_a_plain_file_needs_no_settings(tmp_path: Path) -> None:
    assert sniffed(tmp_path / "t.csv", csv_text([NAMES, *ROWS])).settings == {}
    assert sniffed(tmp_path / "t.jsonl", '{"a": 1}\n').settings == {}


@many
@given(st.binary(max_size=300))
def test_any_bytes_are_sniffed_or_an_error_for_the_user(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    try:
        found = sniff_source(TableSource(path=str(path)))
    except InputError:
        return
    found.source.check("pipeline.interactions")


@pytest.mark.parametrize("has_header", [True, False])
@pytest.mark.parametrize("between", ["  ", "     "])
def test_any_number_of_blanks_is_a_delimiter(tmp_path: Path, between: str, has_header: bool) -> None:
    names = ["user", "item", "rating", "second"]
    rows = [[f"u{n % 7}", str(n % 5), str(n % 3), str(1_600_000_000 + n)] for n in range(50)]
    lines = [between.join(row) for row in ([names] if has_header else []) + rows]
    given = {} if has_header else {"header": tuple(names)}
    found = sniffed(tmp_path / "t.txt", "".join(f"  {line}  \n" for line in lines), format="csv", **given)
    assert found.source.delimiter == "blanks"
    assert read(tmp_path / "t.txt", names, format="csv", delimiter="blanks", **given).rows == rows
