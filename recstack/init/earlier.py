"""A column beside lists of shown items that says what the user had clicked before."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from beam_pipelines.sources.shown_items import SEPARATORS
from recstack.init.proposal import Setting
from recstack.init.roles import Roles

_LOOKED_AT, _SOME = 1000, 0.5


def lists_items(column: ColumnProfile, items: ColumnProfile) -> bool:
    """Whether the values are lists of the items' ids, such as what a user had read before."""
    if column.kind not in ("text", "list"):
        return False
    head = column.values.slice(0, _LOOKED_AT).drop_null()
    entries = head.flatten() if column.kind == "list" else pc.split_pattern_regex(head, SEPARATORS).flatten()
    known = pc.cast(items.values, pa.string()).unique()
    return len(entries) > 1.5 * len(head) and float(pc.mean(pc.is_in(entries, known)).as_py() or 0) > _SOME


def find_earlier_items(events: TableProfile, roles: Roles) -> str:
    """The column of texts that lists items beside the shown ones, if there is one."""
    if not events.source.shown_items:
        return ""
    free = (column for column in events.columns if column.name not in roles.names and column.kind == "text")
    return next((column.name for column in free if lists_items(column, roles.item.column)), "")


def choose_earlier(column: str) -> Iterator[Setting]:
    """The setting that makes events of the column."""
    if column:
        why = (
            "lists items without times: what the user had clicked before; the list in a user's first row becomes "
            "events just before it"
        )
        yield Setting(table="pipeline.interactions", name="earlier_items", value=column, why=why)
