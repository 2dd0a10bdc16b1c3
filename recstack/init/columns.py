"""Which kind of feature a column is."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.profile.raw_table import ColumnProfile
from beam_pipelines.sources.list_texts import cut_lists
from beam_pipelines.sources.numbers import guess_decimal, parse_numbers
from beam_pipelines.sources.time_formats import guess_time_format
from features.spec.base import Feature
from features.spec.categorical import CategoricalFeature
from features.spec.multi_valued import MultiValuedFeature
from features.spec.numeric import NumericFeature
from features.spec.text import TextFeature
from features.spec.vector import VectorFeature
from recstack.init import names

_SEPARATORS = ("|", ";", ",", "/", " > ", "#")
_LARGEST_VOCABULARY = 50_000
_MOST_MISSING = 0.95
_SAMPLE = 20_000
_WORDS_OF_TEXT, _FEWEST_TEXTS = 1.5, 20
_MOST, _FEWEST_NAMES, _OWN_VALUE = 0.9, 20, 0.8
_WORDS_OF_A_NAME = 4
_MOST_WORDS = 0.3
_ADDRESS = r"^(https?://|www\.)\S+$|^\S+/\S+\.(jpe?g|png|gif|webp)$"
_OWN = "nearly every row has a value of its own, which tells no more than the id"
_A_DATE = "a date is no number: make it one, such as an age in days, to use it"


@dataclass(frozen=True)
class Encoding:
    """A feature, or none, and the reason."""

    feature: Feature | None
    why: str


def encode_column(column: ColumnProfile, name: str, *, of_items: bool) -> Encoding:
    """The feature that suits a column.

    Args:
        column: A column of any table.
        name: Name of the feature.
        of_items: whether it is to describe an item; only items have several values at once.
    """
    if column.kind == "structure":
        return Encoding(None, "a structure: give its parts columns of their own")
    if column.missing > _MOST_MISSING:
        return Encoding(None, f"missing in {column.missing:.0%} of the rows")
    if column.distinct < 2:
        return Encoding(None, "always the same")
    if column.kind == "time":
        return Encoding(None, _A_DATE)
    if column.kind == "vector":
        length = int(pc.max(pc.list_value_length(column.values)).as_py())
        return Encoding(VectorFeature(name=name, length=length), f"vectors of {length} numbers, by their direction")
    if column.kind == "list":
        return _lists(column, name) if of_items else Encoding(None, "lists describe items only")
    if _is_date(column):
        return Encoding(None, _A_DATE)
    if column.kind in ("integer", "number"):
        return _number(column, name)
    return _text(column, name, of_items=of_items) if column.kind == "text" else _one_of(column, name)


def _is_date(column: ColumnProfile) -> bool:
    """Whether texts read as dates, or numbers that are called so."""
    is_called_so = bool(set(names.words(column.name)) & (names.TIME | names.LATER_TIME))
    if column.kind not in ("text", "integer", "number") or (column.kind != "text" and not is_called_so):
        return False
    found = guess_time_format(column.values.slice(0, _SAMPLE))
    return found is not None and not found.is_order


def _lists(column: ColumnProfile, name: str) -> Encoding:
    entries = column.entries.slice(0, _SAMPLE)
    if pc.mean(pc.match_substring_regex(entries, r"^\{.*\}$")).as_py() > 0.5:
        return Encoding(None, "lists of objects: make a list of one of their parts to use it")
    if column.distinct >= _FEWEST_NAMES and column.distinct > _OWN_VALUE * len(column.entries):
        return Encoding(None, "nearly all entries of its lists occur once")
    return _several(column.values, name, "", "lists")


def _number(column: ColumnProfile, name: str) -> Encoding:
    named = set(names.words(column.name))
    if column.kind == "integer" and not named & names.NUMBERLIKE and (named & names.CODED or column.distinct <= 20):
        return _one_of(column, name)
    values = pc.cast(column.values.drop_null(), pa.float64()).to_numpy(zero_copy_only=False)
    low, middle, high = np.quantile(values, [0.01, 0.5, 0.99])
    # A tail much longer than the other side: the mean and the deviation say little of such a column.
    skewed = (high - middle) > 4 * max(middle - low, 1e-12)
    if skewed or "year" in named:
        buckets = min(16, column.distinct)
        return Encoding(NumericFeature(name=name, encoding="buckets", num_buckets=buckets), "numbers, unevenly spread")
    return Encoding(NumericFeature(name=name), "numbers")


def _text(column: ColumnProfile, name: str, *, of_items: bool) -> Encoding:
    present = column.values.drop_null()
    if pc.mean(pc.match_substring_regex(present.slice(0, _SAMPLE), _ADDRESS)).as_py() >= _MOST:
        return Encoding(None, "addresses of pages or pictures tell nothing of what is there")
    sample = present.take(pa.array(np.linspace(0, len(present) - 1, min(len(present), _SAMPLE)).astype(np.int64)))
    if (words_among := _words_among_numbers(sample)) is not None:
        return Encoding(None, f"numbers, but {words_among!r} in some rows: add such words to `missing` to use it")
    separator = _separator(sample, column.name) if of_items else None
    if separator is not None:
        return _several(cut_lists(sample, separator), name, separator, f"several values, cut at {separator!r}")
    words = pc.list_value_length(pc.split_pattern_regex(pc.utf8_trim_whitespace(sample), r"\W+")).to_numpy()
    different = len(sample.unique())
    is_own = different > _OWN_VALUE * len(sample) and different >= _FEWEST_NAMES
    if is_own and not of_items and words.mean() <= _WORDS_OF_A_NAME:
        return Encoding(None, _OWN)
    is_title = of_items and is_own and bool(set(names.words(column.name)) & names.TITLE)
    if (words.mean() >= _WORDS_OF_TEXT or is_title) and different >= max(_FEWEST_TEXTS, 0.3 * len(sample)):
        tokens = int(np.clip(np.quantile(words, 0.95), 4, 64))
        vocabulary = pc.count_distinct(pc.split_pattern_regex(pc.utf8_lower(sample), r"\W+").flatten()).as_py()
        buckets = int(np.clip(2 ** int(np.ceil(np.log2(max(2 * vocabulary, 1)))), 1024, 65_536))
        why = f"text of {words.mean():.0f} words, hashed"
        return Encoding(TextFeature(name=name, num_buckets=buckets, max_tokens=tokens), why)
    return _one_of(column, name)


def _words_among_numbers(texts: pa.StringArray) -> str | None:
    """The first value that is no number in a column of which most are; None in other columns."""
    # Numbers that begin with a zero are codes.
    codes = pc.match_substring_regex(texts, r"^\s*0\d")
    unreadable = parse_numbers(texts, guess_decimal(texts)).unreadable
    if pc.any(codes).as_py() or float(pc.mean(unreadable).as_py()) > _MOST_WORDS:
        return None
    return str(texts.filter(unreadable)[0].as_py())


def _separator(sample: pa.StringArray, name: str) -> str | None:
    """What cuts the texts into few different, short parts."""
    for separator in (*_SEPARATORS, " ") if names.is_typed_sequence(name) else _SEPARATORS:
        held = pc.mean(pc.match_substring(sample, separator)).as_py()
        if held < 0.1:
            continue
        parts = cut_lists(sample, separator).flatten()
        whole, different = len(sample.unique()), len(parts.unique())
        short = pc.mean(pc.utf8_length(parts)).as_py() <= 30
        if short and different <= 0.5 * len(parts) and different < 0.7 * whole + 1:
            return separator
    return None


def _several(lists: pa.ListArray, name: str, separator: str, why: str) -> Encoding:
    entries = lists.flatten()
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    most = int(np.clip(np.quantile(lengths, 0.99), 1, 64))
    different = len(entries.unique())
    feature = MultiValuedFeature(name=name, max_values=most, separator=separator or "|")
    if different > _LARGEST_VOCABULARY:
        feature = replace(feature, encoding="hash", num_buckets=_buckets(different))
    return Encoding(feature, f"{why}, {different:,} different")


def _one_of(column: ColumnProfile, name: str) -> Encoding:
    num_present = len(column.values) - column.values.null_count
    if column.distinct >= _FEWEST_NAMES and column.distinct > _OWN_VALUE * num_present:
        return Encoding(None, _OWN)
    if column.distinct > _LARGEST_VOCABULARY:
        why = f"one of {column.distinct:,}, hashed"
        return Encoding(CategoricalFeature(name=name, encoding="hash", num_buckets=_buckets(column.distinct)), why)
    return Encoding(CategoricalFeature(name=name), f"one of {column.distinct:,}")


def _buckets(different: int) -> int:
    return int(min(2 ** int(np.ceil(np.log2(different))), 1 << 20))
