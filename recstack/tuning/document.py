"""The result of a search as a configuration file: the given one, with the changed fields marked."""

from collections.abc import Iterable, Mapping
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Item, Table

from features.errors import ConfigError
from features.serialization import unstructure
from recstack.config import StackConfig, parse_config
from recstack.retraining.comparison import Difference as Change
from recstack.retraining.comparison import differences

__all__ = ["Change", "changes", "shown", "tuned_text"]


def changes(base: StackConfig, stack: StackConfig) -> tuple[Change, ...]:
    """The fields in which a configuration differs from another, by dotted name; None where one has no such field."""
    return tuple(differences(unstructure(base), unstructure(stack)))


def shown(change: Change) -> str:
    """A change as a person reads it.

    >>> shown(Change(name="retrieval.encoder.dropout", first=0.5, second=0.3))
    'encoder.dropout 0.5 -> 0.3'
    """
    name = change.name.partition(".")[2]  # without the stage, which all changes have in common
    return f"{name} {_plain(change.first)} -> {_plain(change.second)}"


def _plain(value: Any) -> str:
    """A value in a line of text; a list of options by their kinds."""
    if isinstance(value, list):
        return " + ".join(str(each.get("kind")) if isinstance(each, Mapping) else str(each) for each in value) or "none"
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def tuned_text(text: str, stack: StackConfig, remarks: Iterable[str]) -> str:
    """A configuration file that is read as `stack`, as like to `text` as can be.

    Args:
        text: The file that the search was given.
        stack: What it is to say.
        remarks: Comment lines above it.
    """
    head = "".join(f"# {line}\n" for line in remarks)
    edited = _edited(text, changes(parse_config(text), stack))
    try:
        is_same = parse_config(edited) == stack
    except ConfigError:
        is_same = False
    # A file whose form leaves no place for a field is written anew, without its comments.
    return head + (edited if is_same else stack.to_toml())


def _edited(text: str, changed: Iterable[Change]) -> str:
    document = tomlkit.parse(text)
    for change in changed:
        *tables, name = change.name.split(".")
        place: Any = document
        for each in tables:
            if each not in place:
                place[each] = tomlkit.table(is_super_table=each == tables[0] and len(tables) > 1)
            place = place[each]
        if change.second is None:
            place.pop(name, None)
            continue
        item = _item(change.second)
        if isinstance(place, Table) and not isinstance(change.second, Mapping):
            before = "no such field" if change.first is None else _plain(change.first)
            item.comment(f"tuned: {before} before")
        place[name] = item
    return tomlkit.dumps(document)


def _item(value: Any) -> Item:
    if isinstance(value, Mapping):
        table: InlineTable = tomlkit.inline_table()
        for key, entry in value.items():
            table.append(key, _item(entry))
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(_item(entry) for entry in value)
        return array
    item: Item = tomlkit.item(value)
    return item
