"""Tables of another shape than one event a row, and how to bring them into it."""

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from beam_pipelines.sources.list_texts import cut_lists
from beam_pipelines.sources.shown_items import SEPARATORS
from recstack.init import names

_LOOKED_AT, _MOST = 2000, 0.8
_SEVERAL, _COME_AGAIN = 2.0, 0.7
_FEWEST_ITEMS, _MOST_GRADES = 20, 12
_ID = r"^\w*\d\w*$"
_SESSION = {"session", "visit", "basket", "order"}


def other_shape(table: TableProfile) -> str:
    """What the rows seem to be instead of events, and how to mend it; empty where nothing tells."""
    lists = next((column for column in table.columns if _lists_ids(column)), None)
    if lists is not None and len(table.columns) == 1:
        return "; each line seems to list a user and several items: write one line an event, with the user in each"
    if lists is not None:
        column, series = repr(lists.name), f"table[{lists.name!r}]"
        cut = "" if lists.kind == "list" else f"table[{column}] = {series}.str.split(); "
        return (
            f"; {lists.name!r} lists several items a row, where one row an event is needed: such as pandas' "
            f"{cut}table.explode({column})"
        )
    grades = [c for c in table.columns if c.kind in ("integer", "number") and c.distinct <= _MOST_GRADES]
    if len(grades) >= _FEWEST_ITEMS and len(grades) > _MOST * len(table.columns):
        key = next((c.name for c in table.columns if c not in grades), table.columns[0].name)
        return (
            "; each item seems to have a column of its own, where one row an event is needed: such as pandas' "
            f"table.melt(id_vars={key!r}, var_name='item_id', value_name='rating')"
        )
    return ""


def instead_of_users(table: TableProfile) -> str:
    """A column of sessions, which may take the place of users; empty where there is none."""
    for column in table.columns:
        if set(names.words(column.name)) & _SESSION and 1 < column.distinct < _MOST * table.num_rows:
            return f" ('--user-id {column.name}' recommends within a {column.name!r}, whosever it is)"
    return ""


def _lists_ids(column: ColumnProfile) -> bool:
    """Whether most values are several ids, which come again in other rows."""
    if column.kind not in ("text", "list"):
        return False
    head = column.values.slice(0, _LOOKED_AT).drop_null()
    lists = head if column.kind == "list" else cut_lists(head, SEPARATORS, is_regex=True)
    entries = lists.flatten()
    if not len(head) or len(entries) < _SEVERAL * len(head):
        return False
    are_ids = pc.match_substring_regex(pc.cast(entries, pa.string()), _ID)
    return bool(pc.mean(are_ids).as_py() > _MOST and pc.count_distinct(entries).as_py() < _COME_AGAIN * len(entries))
