"""A proposal as a TOML file with the reasons as comments."""

import dataclasses
import re
import textwrap
from collections.abc import Iterable, Sequence

import tomlkit
from tomlkit.items import InlineTable, Item
from tomlkit.items import Table as TomlTable

from features.serialization import unstructure
from features.spec.base import Feature
from recstack.init.proposal import FeatureChoice, LeftOut, Setting
from recstack.init.propose import Proposal

_WIDTH = 110
_SIDES = ("query", "candidate")


def render(proposal: Proposal, *, command: str) -> str:
    """The text of the file; `command` is told in its head."""
    document = tomlkit.document()
    rows = ", ".join(f"{table.path}: {round(table.num_rows / table.share):,} rows" for table in proposal.tables)
    head = f"Written by `{command}` from {rows}. Each line's reason stands above it: change what you know better."
    for line in _wrapped(head):
        document.add(tomlkit.comment(line))
    document.add(tomlkit.nl())
    for setting in proposal.settings:
        if not setting.table:
            _add(document, setting)
    document.add(tomlkit.nl())
    document.add("features", _features(proposal.columns))
    by_table: dict[str, list[Setting]] = {}
    for setting in proposal.settings:
        if setting.table:
            by_table.setdefault(setting.table, []).append(setting)
    text = re.sub(r"\n{3,}", "\n\n", tomlkit.dumps(document)).rstrip() + "\n"
    return text + "".join(_table(name, settings) for name, settings in by_table.items())


def _table(name: str, settings: Iterable[Setting]) -> str:
    """One table with its header. A table of nothing but comments has a header too, which is an empty table."""
    body = tomlkit.table()
    for setting in settings:
        _add(body, setting)
    return f"\n[{name}]\n{body.as_string().strip()}\n"


def _add(container: tomlkit.TOMLDocument | TomlTable, setting: Setting) -> None:
    for line in _wrapped(setting.why):
        container.add(tomlkit.comment(line))
    if setting.active:
        container.add(setting.name, _item(setting.value))
    else:
        container.add(tomlkit.comment(f"{setting.name} = {_item(setting.value).as_string()}"))


def _features(columns: Sequence[FeatureChoice | LeftOut]) -> TomlTable:
    features = tomlkit.table(is_super_table=True)
    for side in _SIDES:
        mine = [choice for choice in columns if _side(choice) == side]
        active = [choice for choice in mine if isinstance(choice, FeatureChoice) and choice.active]
        tables = tomlkit.aot()
        for choice in active:
            table = tomlkit.table()
            for line in _wrapped(choice.why):
                table.add(tomlkit.comment(line))
            for name, value in _fields(choice.feature).items():
                table.add(name, _item(value))
            table.add(tomlkit.nl())
            if choice is active[-1]:
                _add_unused(table, [other for other in mine if other not in active], side)
            tables.append(table)
        features.add(side, tables)
    return features


def _add_unused(table: TomlTable, choices: Sequence[FeatureChoice | LeftOut], side: str) -> None:
    """What could be a feature, ready to be uncommented, and what could not."""
    lines = []
    for choice in choices:
        if isinstance(choice, LeftOut):
            lines += [f"Not used: {choice.column} of the {choice.table}: {choice.why}.", ""]
        else:
            lines += [*_wrapped(choice.why), f"[[features.{side}]]", *_lines(choice.feature), ""]
    for line in lines:
        table.add(tomlkit.comment(line) if line else tomlkit.nl())


def _side(choice: FeatureChoice | LeftOut) -> str:
    name = choice.feature.name if isinstance(choice, FeatureChoice) else ""
    return "candidate" if choice.table == "items" or name == "item_id" else "query"


def _lines(feature: Feature) -> list[str]:
    return [f"{name} = {_item(value).as_string()}" for name, value in _fields(feature).items()]


def _fields(feature: Feature) -> dict[str, object]:
    """The fields that differ from their defaults, the kind first."""
    defaults = {field.name: field.default for field in dataclasses.fields(feature)}
    written = unstructure(feature)
    return {name: value for name, value in written.items() if name in ("kind", "name") or value != defaults[name]}


def _item(value: object) -> Item:
    if isinstance(value, dict):
        table: InlineTable = tomlkit.inline_table()
        for key, entry in value.items():
            table.append(key, entry)
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(_item(entry) for entry in value)
        return array
    return tomlkit.item(value)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
