"""The configuration reference: every table of the TOML file with its fields, types, defaults and meaning.

`python -m recstack.reference` prints docs/configuration.md, which `make docs` writes.
"""

import inspect
import re
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import docstring_parser
import tomli_w

from features.kinds import kinds_of, option_names
from features.serialization import unstructure
from recstack.config import StackConfig

_HEAD = """# Configuration reference

One TOML file describes a recommender; `recstack init` writes one for your tables. This page lists every table
and field. It is generated from the code by `make docs`.

Every field is also a flag: `retrieval.batch_size` is `--retrieval.batch-size`. Flags override the file. The
`[[features.…]]` tables and `[[features.task]]` are the contract between data and models; they have no flags.
`recstack <verb> --print-config` prints the configuration that a verb works with.
"""

Hint: TypeAlias = Any
AnyField: TypeAlias = "Field[Any]"


@dataclass(frozen=True, kw_only=True)
class _Table:
    """One table of the TOML file."""

    path: str
    """Its dotted name; empty for the top of the file."""
    node: type
    """The dataclass that it describes."""
    is_list: bool = False
    """Whether the file holds several of them, as `[[path]]`."""

    @property
    def header(self) -> str:
        """The line that begins the table in a TOML file."""
        return f"[[{self.path}]]" if self.is_list else f"[{self.path}]"


def configuration_reference() -> str:
    """The reference as Markdown: one section a dataclass, with all tables that it describes."""
    headers: dict[type, list[str]] = {}
    for table in _tables(_Table(path="", node=StackConfig)):
        headers.setdefault(table.node, []).append(table.header)
    return "\n".join([_HEAD, *(_section(node, found) for node, found in headers.items())])


def _tables(table: _Table) -> Iterator[_Table]:
    """The table and all tables below it, depth first, in the order of the fields."""
    yield table
    for field, hint in _hinted_fields(table.node):
        path = f"{table.path}.{field.name}".lstrip(".")
        is_list = _origin(hint) is tuple
        path += ".<name>" if _origin(hint) is Mapping else ""
        for node in _nodes(hint):
            if field.name in getattr(node, "sides", {field.name}):  # some features are of one side only
                yield from _tables(_Table(path=path, node=node, is_list=is_list))


def _nodes(hint: Hint) -> Iterator[type]:
    """The dataclasses that a field may hold: one, or what all kinds have and what each has besides."""
    kinds = kinds_of(hint)
    if kinds is not None and kinds.base is hint:
        yield from (hint, *map(kinds.options, kinds.names))
    elif is_dataclass(hint):
        yield hint  # type: ignore[misc]
    elif _origin(hint) in (Union, types.UnionType, tuple, Mapping, Annotated):
        for argument in get_args(hint):
            yield from _nodes(argument)


def _section(node: type, headers: list[str]) -> str:
    kind, kinds = _kind_of(node), kinds_of(node)
    title = "Top of the file" if node is StackConfig else ", ".join(f"`{header}`" for header in dict.fromkeys(headers))
    title += f' with `kind = "{kind}"`' if kind else ""
    docs = _field_docs(node)
    rows = [
        f"| `{field.name}` | {_shown_type(hint)} | {_shown_default(field)} | {_cell(docs[field.name])} |"
        for field, hint in _own_fields(node)
        if not any(True for _ in _nodes(hint)) and field.name in docs
    ]
    if kinds is not None and kinds.base is node:
        names = ", ".join(f"`{_toml(name)}`" for name in kinds.names)
        default = "required" if kinds.default is None else f"`{_toml(kinds.default)}`"
        rows.insert(0, f"| `kind` | {names} | {default} | Each kind's own options are listed under its name. |")
    head = ["", "| field | type | default | meaning |", "|---|---|---|---|"] if rows else []
    return "\n".join([f"## {title}", "", _class_doc(node), *head, *rows, ""])


def _kind_of(node: type) -> str | None:
    """The kind that the node is the table of, if it is of one of several."""
    kinds = kinds_of(node)
    return None if kinds is None else next((name for name in kinds.names if kinds.options(name) is node), None)


def _own_fields(node: type) -> list[tuple[AnyField, Hint]]:
    """The fields of the node; of the options of one of several kinds those that not all kinds have."""
    kinds = kinds_of(node)
    shared = () if kinds is None or kinds.base is node else option_names(kinds.base)
    return [(field, hint) for field, hint in _hinted_fields(node) if field.name not in shared]


def _origin(hint: Hint) -> Any:
    origin: Any = get_origin(hint)
    return origin


def _hinted_fields(node: type) -> list[tuple[AnyField, Hint]]:
    hints = get_type_hints(node)
    return [(field, hints[field.name]) for field in fields(node)]


def _field_docs(node: type) -> Mapping[str, str]:
    docs: dict[str, str] = {}
    for owner in reversed(node.__mro__):
        if is_dataclass(owner):
            found = docstring_parser.parse_from_object(owner)
            docs |= {param.arg_name: param.description or "" for param in found.params}
    return docs


def _class_doc(node: type) -> str:
    return re.split(r"\n\s*(?:Raises|Args|Returns):\n", inspect.cleandoc(node.__doc__ or ""))[0].rstrip()


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def _shown_type(hint: Hint) -> str:
    origin, arguments = _origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_shown_type(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return f"list of {_shown_type(arguments[0])}"
    if origin is Mapping:
        return f"table of {_shown_type(arguments[1])}"
    names: Mapping[Hint, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Path: "path"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _shown_default(field: AnyField) -> str:
    if field.default is not MISSING:
        value = field.default
    elif field.default_factory is not MISSING:
        value = field.default_factory()
    else:
        return "required"
    return "none" if value is None else f"`{_cell(_toml(unstructure(value)))}`"


def _toml(value: object) -> str:
    return tomli_w.dumps({"v": value}, multiline_strings=False).removeprefix("v = ").strip() if value != {} else "{}"


if __name__ == "__main__":
    sys.stdout.write(configuration_reference())
