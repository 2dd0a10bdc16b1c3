r"""Lists that are written into one text: `[27, 9]`, `["a", "b"]`, `['a', 'b']`, NumPy's `['a' 'b']`, `{a,b}`."""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_BRACKETS = {"[": "]", "(": ")", "{": "}"}
_IN_BRACKETS = r"(?s)^\s*(\[.*\]|\(.*\)|\{.*\})\s*$"
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_NUMBERS = re.compile(r"\s*[+-]?\d[\d.eE+-]*(\s+[+-]?\d[\d.eE+-]*)*\s*")


def parse_list(text: str) -> list[str] | None:
    """The entries of a list in JSON's, Python's or NumPy's notation, or of words in brackets; None if it is none.

    Lists in lists become one list, entries that are null are left out, and objects stay texts in JSON. Parentheses only
    count around two or more values in Python's notation, since titles have them too.
    """
    text = text.strip()
    if len(text) < 2 or _BRACKETS.get(text[0]) != text[-1]:
        return None
    inner = text[1:-1]
    if re.fullmatch(r"\s*Q(\s+Q)+\s*", _QUOTED.sub("Q", inner)):
        return [str(ast.literal_eval(quoted)) for quoted in _QUOTED.findall(inner)]
    value = _literal(text)
    if isinstance(value, list | tuple | set | frozenset):
        return list(entries_of(value))
    return None if value is not None or text[0] == "(" else _bare_words(inner)


def entries_of(values: Iterable[Any]) -> Iterator[str]:
    """The entries of a list as texts, those of lists in it included; none for null."""
    for value in values:
        if isinstance(value, list | tuple | set | frozenset):
            yield from entries_of(value)
        elif value is not None:
            yield value if isinstance(value, str) else json.dumps(value)


def _literal(text: str) -> Any:
    """A value in JSON's or Python's notation; numbers of JSON stay as they are written. None if it is neither."""
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _bare_words(inner: str) -> list[str] | None:
    """Words without quotes, or numbers with blanks between them."""
    if any(mark in inner for mark in "[](){}:"):
        return None
    if _NUMBERS.fullmatch(inner):
        return inner.split()
    return [part.strip().strip("\"'") for part in inner.split(",")]


def cut_lists(texts: pa.StringArray, pattern: str, *, is_regex: bool = False) -> pa.ListArray:
    """Lists from texts: those in brackets by their notation, others by what stands between their entries.

    Args:
        texts: `[rows]`, "" where missing.
        pattern: what separates the entries.
        is_regex: whether it is a regular expression.

    Returns:
        `[rows]` lists of string, without white space around the entries.
    """
    in_brackets = pc.match_substring_regex(texts, _IN_BRACKETS)
    cut = pc.split_pattern_regex(texts, pattern) if is_regex else pc.split_pattern(texts, pattern)
    lists = pa.ListArray.from_arrays(cut.offsets, pc.utf8_trim_whitespace(cut.values))
    if not pc.any(in_brackets).as_py():
        return lists
    parsed = [
        parse_list(text) if bracketed else None
        for text, bracketed in zip(*map(pa.Array.to_pylist, (texts, in_brackets)), strict=True)
    ]
    rows = [one if found is None else found for found, one in zip(parsed, lists.to_pylist(), strict=True)]
    offsets = list(accumulate(map(len, rows), initial=0))
    entries = [entry.strip() for row in rows for entry in row]
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(entries, pa.string()))


def share_of_lists(texts: pa.StringArray) -> float:
    """Share of the texts that are lists in brackets."""
    in_brackets = texts.filter(pc.match_substring_regex(texts, _IN_BRACKETS))
    found = sum(parse_list(text) is not None for text in in_brackets.to_pylist())
    return found / max(len(texts), 1)
