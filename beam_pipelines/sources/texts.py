"""Any column of single values to texts, the words for missing values, and the spelling of ids."""

import unicodedata
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config.source import IdRules


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of the type holds strings or bytes."""
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(check(kind) for check in checks)


def to_texts(source: pa.Array) -> tuple[pa.StringArray, pa.BooleanArray]:
    """The values as texts, "" where missing, and where the bytes are no UTF-8.

    Raises:
        NotImplementedError: the column holds lists or structures.
    """
    nothing = pa.array(np.zeros(len(source), bool))
    if pa.types.is_dictionary(source.type):
        source = source.dictionary_decode()
    if pa.types.is_floating(source.type):
        return _whole_numbers_to_texts(source), nothing
    if pa.types.is_decimal(source.type):
        return _whole_decimals_to_texts(source), nothing
    if pa.types.is_binary(source.type) or pa.types.is_large_binary(source.type):
        try:
            return pc.cast(source, pa.string()).fill_null(""), nothing
        except pa.ArrowInvalid:
            return _decode_each(source)
    if pa.types.is_nested(source.type):
        raise NotImplementedError
    return pc.cast(source, pa.string()).fill_null(""), nothing


def blank_missing(texts: pa.StringArray, words: Sequence[str]) -> pa.StringArray:
    """The texts, "" in place of the words that stand for a missing value."""
    if not words:
        return texts
    missing = pc.is_in(texts, pa.array(words, pa.string()))
    return pc.if_else(missing, "", texts) if pc.any(missing).as_py() else texts


def spell_ids(texts: pa.StringArray, rules: IdRules) -> pa.StringArray:
    """The ids as the rules spell them."""
    if rules.strip:
        texts = pc.utf8_trim_whitespace(texts)
    if rules.unicode != "keep" and not pc.all(pc.string_is_ascii(texts), min_count=0).as_py():
        form = rules.unicode
        texts = pa.array([unicodedata.normalize(form, text) for text in texts.to_pylist()], pa.string())
    if rules.float_suffix == "drop":
        texts = pc.replace_substring_regex(texts, r"^([+-]?\d+)\.0+$", r"\1")
    if rules.leading_zeros == "drop":
        texts = pc.replace_substring_regex(texts, r"^0+(\d)", r"\1")
    if rules.case != "keep":
        texts = pc.utf8_lower(texts) if rules.case == "lower" else pc.utf8_upper(texts)
    return texts


def suggest_id_rules(texts: pa.StringArray) -> tuple[IdRules, str]:
    """The rules that a column of ids needs, and the reason; the defaults and "" where it needs none.

    Args:
        texts: `[rows]` ids as they are written, null or "" where missing.
    """
    present = texts.filter(pc.not_equal(pc.fill_null(texts, ""), ""))
    if not len(present):
        return IdRules(), ""
    rules, reasons = IdRules(), []
    trimmed = pc.utf8_trim_whitespace(present)
    if spaced := int(pc.sum(pc.not_equal(trimmed, present)).as_py()):
        rules = replace(rules, strip=True)
        reasons.append(f"{spaced:,} ids have white space around them")
    if pc.all(pc.match_substring_regex(trimmed, r"^[+-]?\d+\.0+$")).as_py():
        rules = replace(rules, float_suffix="drop")
        reasons.append("all ids are whole numbers written with a decimal point")
    return rules, " and ".join(reasons)


def _whole_numbers_to_texts(source: pa.Array) -> pa.StringArray:
    """3.0 is how a table with missing values stores the integer 3."""
    source = pc.cast(source, pa.float64())
    values = source.fill_null(np.nan).to_numpy(zero_copy_only=False)
    whole = np.isfinite(values) & (values == np.trunc(values)) & (np.abs(values) < 2**53)
    integers = pc.cast(pa.array(np.where(whole, values, 0).astype(np.int64)), pa.string())
    texts = pc.if_else(pa.array(whole), integers, pc.cast(source, pa.string()))
    return pc.if_else(pa.array(np.isnan(values)), "", texts)


def _whole_decimals_to_texts(source: pa.Array) -> pa.StringArray:
    """3.0000000000 is how a database driver gives the NUMERIC 3, and 0E-10 its 0."""
    text = pc.replace_substring_regex(pc.cast(source, pa.string()), r"^-?0E.*$", "0")
    return pc.replace_substring_regex(text, r"\.0*$", "").fill_null("")


def _decode_each(source: pa.Array) -> tuple[pa.StringArray, pa.BooleanArray]:
    texts, bad = [], []
    for value in source.to_pylist():
        try:
            texts.append((value or b"").decode())
            bad.append(False)
        except UnicodeDecodeError:
            texts.append("")
            bad.append(True)
    return pa.array(texts, pa.string()), pa.array(bad)
