"""The raw tables as `recstack init` reads them: by `prepare`'s readers, and what their files look like."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import TableName
from beam_pipelines.profile.raw_table import TableProfile, profile_table
from beam_pipelines.sources.numbers import parse_numbers
from beam_pipelines.sources.shown_items import lists_shown_items
from beam_pipelines.sources.sniffing import SniffedSource, sniff_source
from beam_pipelines.sources.texts import blank_missing, is_text, to_texts
from beam_pipelines.sources.time_formats import guess_time_format
from features.errors import InputError
from recstack.init.file_kinds import with_format
from recstack.init.proposal import Setting

# Words beside those of the configuration that stand for a missing value where the others of a column are numbers.
_MISSING_WORDS = ("?", "-", "--", ".", "missing", "unknown", "undefined", "nil", "(null)", "#N/A", "n.a.", "na", "NONE")
_NUMBERS_AMONG_TEXTS = 0.99
_SAMPLE = 20_000
_MOST_GRADES = 11
# Fields of a source that are guessed, in the order in which they are written.
_WRITTEN = (
    *("format", "delimiter", "quote", "escape", "header", "skip", "encoding", "decimal", "missing", "shown_items"),
)


@dataclass(frozen=True, kw_only=True)
class TableLooks:
    """A table, how it is read, and why so."""

    profile: TableProfile
    """The columns."""
    settings: tuple[Setting, ...]
    """What was guessed of the files, for the configuration."""


def read_table(name: TableName, given: TableSource) -> TableLooks:
    """Reads a table, or as much of it as is needed.

    Args:
        name: which of the three.
        given: its path, and what the caller knows of the files.

    Raises:
        InputError: there is no such table, it cannot be read, or its files do not name their columns.
    """
    source, why_format = with_format(given)
    sniffed = sniff_source(source)
    if not sniffed.has_header:
        raise InputError(_no_header(name, sniffed))
    profile, missing = _with_missing_words(profile_table(name, sniffed.source))
    reasons = why_format | dict(sniffed.reasons) | missing
    if name == "interactions" and (shown := _shown_items(profile)):
        profile = profile_table(name, replace(profile.source, shown_items=shown))
        reasons["shown_items"] = "lists of shown items, each with a click (-1) or without (-0): one event each"
    marks = {column.decimal: column for column in profile.columns if column.decimal}
    if not profile.source.decimal and len(marks) == 1:
        mark, column = next(iter(marks.items()))
        profile = replace(profile, source=replace(profile.source, decimal=mark))
        reasons["decimal"] = f"the numbers of {column.name} are written so, such as {_first(column.raw)!r}"
    return TableLooks(profile=profile, settings=tuple(_settings(name, given, profile.source, reasons)))


def _shown_items(profile: TableProfile) -> str:
    columns = (column for column in profile.columns if column.raw is not None and lists_shown_items(column.raw))
    return next((column.name for column in columns), "")


def _settings(name: TableName, given: TableSource, source: TableSource, reasons: dict[str, str]) -> Iterator[Setting]:
    for field in _WRITTEN:
        value = getattr(source, field)
        was_given = value != getattr(TableSource(), field) and value == getattr(given, field)
        if field in reasons or was_given:
            listed = list(value) if isinstance(value, tuple) else value
            why = reasons.get(field, "given on the command line")
            yield Setting(table=f"pipeline.{name}", name=field, value=listed, why=why)


def _no_header(name: TableName, sniffed: SniffedSource) -> str:
    flag = {"interactions": "--header", "items": "--items-header", "users": "--users-header"}[name]
    width, names = len(sniffed.source.header), _likely_names(profile_table(name, sniffed.source))
    line = sniffed.reasons["header"].partition(": ")[2]
    return (
        f"{sniffed.source.path}: the first line reads as data, not as the names of {width} columns: {line}; name them "
        f"in their order by {flag}, such as {flag} {' '.join(names)}, which writes header = {json.dumps(names)}"
    )


def _likely_names(profile: TableProfile) -> list[str]:
    """Names for columns that have none, by their values; to be checked by a person."""
    names, taken = [], set[str]()
    ids = {"interactions": ["user_id", "item_id"], "items": ["item_id"], "users": ["user_id"]}[profile.name]
    for column in profile.columns:
        found = guess_time_format(column.values)
        if found is not None and not found.is_order and "timestamp" not in taken:
            name = "timestamp"
        elif column.kind in ("integer", "number") and column.distinct <= _MOST_GRADES and "rating" not in taken:
            name = "rating"
        else:
            name = next((known for known in ids if known not in taken), column.name)
        taken.add(name)
        names.append(name)
    return names


def _with_missing_words(profile: TableProfile) -> tuple[TableProfile, dict[str, str]]:
    """The table read once more if words such as `?` stand for missing values among its numbers."""
    found: dict[str, str] = {}
    for column in profile.columns:
        if column.kind == "text" and column.raw is not None and is_text(column.raw.type):
            found |= dict.fromkeys(_words_among_numbers(column.raw, profile.source), column.name)
    if not found:
        return profile, {}
    source = replace(profile.source, missing=(*profile.source.missing, *found))
    words = " and ".join(repr(word) for word in found)
    why = f"{words} stands among the numbers of {', '.join(dict.fromkeys(found.values()))}"
    return profile_table(profile.name, source), {"missing": why}


def _words_among_numbers(raw: pa.Array, source: TableSource) -> list[str]:
    texts, _ = to_texts(raw)
    texts = blank_missing(texts.slice(0, _SAMPLE), source.missing).to_pylist()
    present = [text.strip() for text in texts if text.strip()]
    words = sorted({text for text in present if text in _MISSING_WORDS} - set(source.missing))
    rest = [text for text in present if text not in words]
    if not words or len(rest) < 0.5 * len(present):
        return []
    unreadable = [parse_numbers(pa.array(rest, pa.string()), mark).unreadable for mark in ("", ",")]
    readable = 1 - min(sum(one.to_pylist()) for one in unreadable) / len(rest)
    return words if readable >= _NUMBERS_AMONG_TEXTS else []


def _first(raw: pa.Array) -> str:
    texts, _ = to_texts(raw)
    return next((text for text in texts.slice(0, _SAMPLE).to_pylist() if "," in text or "." in text), "")
