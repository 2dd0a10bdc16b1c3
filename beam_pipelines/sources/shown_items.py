"""Rows that list the items shown at one moment, `N12-1 N7-0`, as one row an item, clicked or not."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.sources.contract import RawBatch
from beam_pipelines.sources.texts import is_text, to_texts

CLICKED = "clicked"
"""Name of the column that is added: `1` or `0`."""
IS_CLICKED = "1"
"""In that column, of an item that was clicked."""
SEPARATORS = r"[\s,;|]+"
"""Pattern of what stands between the items of a list."""
_ENTRY = r"^(?P<item>.+)-(?P<clicked>[01])$"
_LIST = r"^\S+-[01]([\s,;|]+\S+-[01])*$"
_MOST, _SAMPLE = 0.9, 1000


def lists_shown_items(values: pa.Array) -> bool:
    """Whether a column holds lists of shown items with a click or without, mostly several in a row."""
    if not is_text(values.type):
        return False
    texts, _ = to_texts(values.slice(0, _SAMPLE))
    present = pc.utf8_trim_whitespace(texts.filter(pc.not_equal(texts, "")))
    if not len(present) or pc.mean(pc.match_substring_regex(present, _LIST)).as_py() < _MOST:
        return False
    return bool(pc.mean(pc.match_substring_regex(present, SEPARATORS)).as_py() > 0.5)


def one_row_an_item(raw: RawBatch, column: str, earlier: str = "") -> RawBatch:
    """Repeats each row once for each item of its list; the list's column then holds the item.

    Args:
        raw: the rows.
        column: Name of the column of lists, texts with a blank, comma, semicolon or bar between the items.
        earlier: Name of a column that only the first of the rows keeps, since it says the same in all of them.

    Returns:
        The rows with a column `clicked`. A row whose list is empty has no item, and an entry without `-0` or `-1` is
        refused as no row.
    """
    place = raw.columns.schema.get_field_index(column)
    texts, _ = to_texts(raw.columns.column(place))
    lists = pc.split_pattern_regex(pc.utf8_trim_whitespace(texts), SEPARATORS)
    entries, parents = pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy()
    parts = pc.extract_regex(entries, _ENTRY)
    is_empty = pc.equal(entries, "").to_numpy(zero_copy_only=False)
    good = parts.is_valid().to_numpy(zero_copy_only=False) | is_empty
    rows = raw.columns.take(pa.array(parents[good]))
    parts = parts.filter(pa.array(good))
    rows = rows.set_column(place, column, pc.struct_field(parts, "item"))
    rows = rows.append_column(CLICKED, pc.struct_field(parts, "clicked").fill_null("0"))
    if earlier in rows.schema.names:
        is_first = np.diff(parents[good], prepend=-1) != 0
        at = rows.schema.get_field_index(earlier)
        rows = rows.set_column(at, earlier, pc.if_else(pa.array(is_first), rows.column(at), None))
    numbers = raw.rows[parents]
    refused = [
        (int(number), "is no item with -0 or -1 for not clicked or clicked", entry)
        for number, entry in zip(numbers[~good], entries.filter(pa.array(~good)).to_pylist(), strict=True)
    ]
    return replace(raw, columns=rows, rows=np.asarray(numbers[good]), malformed=[*raw.malformed, *refused])
