"""Numbers as people write them: with either decimal mark, grouped thousands and a currency sign."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

DecimalMark: TypeAlias = Literal["", ".", ","]

_PLAIN = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_NOT_A_NUMBER = r"^\s*(?i:nan)\s*$"
_CURRENCY = r"(?:\p{Sc}|US\$|USD|EUR|GBP|CHF|JPY|CNY|INR|BRL|CAD|AUD|SEK|NOK|DKK|PLN|kr\.?|zł|R\$)"
_SPACE = r"[\s\x{a0}]*"
_WITH_CURRENCY = rf"^{_SPACE}([+-]?){_SPACE}{_CURRENCY}?{_SPACE}([+-]?[\d.,].*?){_SPACE}{_CURRENCY}?{_SPACE}$"
# Thousands grouped by spaces, narrow or not, or apostrophes, which no language uses as a decimal mark.
_SPACED = r"^([+-]?\d{1,3})((?:[ \x{a0}\x{202f}\x{2009}'’]\d{3})+)([.,]\d+)?$"
_SPACES = r"[ \x{a0}\x{202f}\x{2009}'’]"
# Which of the two is which follows from the text alone: both occur, or one occurs twice.
_SURELY_POINT = r"^[+-]?\d{1,3}(,\d{3})+\.\d+$|^[+-]?\d{1,3}(,\d{3}){2,}$"
_SURELY_COMMA = r"^[+-]?\d{1,3}(\.\d{3})+,\d+$|^[+-]?\d{1,3}(\.\d{3}){2,}$"
_POINT = r"^[+-]?(\d{1,3}(,\d{3})+|\d+)?(\.\d*)?([eE][+-]?\d+)?$"
_COMMA = r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)?(,\d*)?([eE][+-]?\d+)?$"
_ONE_COMMA = r"^\s*[+-]?\d+,\d+\s*$"


@dataclass(frozen=True)
class Numbers:
    """The numbers that texts stand for; `[rows]` each."""

    values: npt.NDArray[np.float64]
    """NaN where a text is empty or no number."""
    unreadable: pa.BooleanArray
    """Where a text is neither empty nor a number."""
    ambiguous: pa.BooleanArray
    """Where it is unreadable because its comma may be a decimal mark or group thousands."""


def parse_numbers(texts: pa.StringArray, decimal: DecimalMark = "") -> Numbers:
    """Reads a column.

    Args:
        texts: `[rows]`, "" where missing.
        decimal: the decimal mark; the other one groups thousands. Empty: a point, and a comma only where the text tells
            what it is.
    """
    plain = pc.match_substring_regex(texts, _PLAIN) if decimal != "," else pa.array(np.zeros(len(texts), bool))
    readable, cleaned = plain, texts
    if not pc.all(plain, min_count=0).as_py():
        cleaned = pc.if_else(plain, texts, _cleaned(texts, decimal))
        readable = pc.match_substring_regex(cleaned, _PLAIN)
    numbers = pc.cast(pc.if_else(readable, pc.utf8_trim_whitespace(cleaned), "nan"), pa.float64())
    empty = pc.or_(pc.equal(pc.utf8_trim_whitespace(texts), ""), pc.match_substring_regex(texts, _NOT_A_NUMBER))
    unreadable = pc.invert(pc.or_(readable, empty))
    ambiguous = pc.and_(unreadable, pc.match_substring_regex(texts, _ONE_COMMA))
    return Numbers(numbers.to_numpy(zero_copy_only=False), unreadable, ambiguous)


def guess_decimal(texts: pa.StringArray) -> DecimalMark:
    """The decimal mark that a column of numbers needs; empty if any will do."""
    read = {mark: int(pc.sum(parse_numbers(texts, mark).unreadable).as_py() or 0) for mark in ("", ",", ".")}
    best: DecimalMark = min(("", ".", ","), key=lambda mark: read[mark])
    return best


def _cleaned(texts: pa.StringArray, decimal: DecimalMark) -> pa.StringArray:
    """The texts without currency signs and groups of thousands, with a decimal point; what is no number stays none."""
    bare = pc.replace_substring_regex(texts, _WITH_CURRENCY, r"\1\2")
    spaced = pc.match_substring_regex(bare, _SPACED)
    bare = pc.if_else(spaced, pc.replace_substring_regex(bare, _SPACES, ""), bare)
    is_point = pc.match_substring_regex(bare, _POINT if decimal == "." else _SURELY_POINT)
    is_comma = pc.match_substring_regex(bare, _COMMA if decimal == "," else _SURELY_COMMA)
    if decimal == ".":
        is_comma = pa.array(np.zeros(len(texts), bool))
    if decimal == ",":
        is_point = pa.array(np.zeros(len(texts), bool))
    as_point = pc.replace_substring(bare, ",", "")
    as_comma = pc.replace_substring(pc.replace_substring(bare, ".", ""), ",", ".")
    unknown = bare if decimal == "" else pc.if_else(pc.match_substring_regex(bare, r"^[+-]?\d+$"), bare, "?")
    return pc.case_when(pc.make_struct(is_point, is_comma), as_point, as_comma, unknown)
