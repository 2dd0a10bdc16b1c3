"""TensorFlow Serving's command line: `--name=value`, `--name value`, `--flag`, `--noflag`."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise

from features.errors import ConfigError
from serving.config import REFUSED, ServerConfig

_KINDS: dict[str, type] = {field.name: type(field.default) for field in fields(ServerConfig)}
_TYPE_NAMES = {bool: "bool", int: "int32", float: "float", str: "string"}
_BOOLEANS = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}


def usage() -> str:
    """Every flag with its default, type and description, one per line, in the form of the real server's usage."""
    descriptions = _descriptions() | {name: f"Refused: {reason}." for name, reason in REFUSED.items()}
    lines = [
        f"\t{f'--{field.name}={_shown(field.default)}':<33}\t{_TYPE_NAMES[_KINDS[field.name]]}\t{descriptions[field.name]}"
        for field in fields(ServerConfig)
    ]
    return "\n".join(["usage: recstack serve", "Flags:", *lines])


def _shown(default: object) -> str:
    # As TensorFlow's flags print them: strings in quotes, booleans in lower case.
    return f'"{default}"' if isinstance(default, str) else str(default).lower()


def _descriptions() -> dict[str, str]:
    """The docstring below each field of ServerConfig, as one line."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(ServerConfig))).body
    assert isinstance(definition, ast.ClassDef)
    described: dict[str, str] = {}
    for field, doc in pairwise(definition.body):
        match field, doc:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                described[name] = " ".join(text.split())
    return described


def parse_flags(argv: list[str]) -> ServerConfig:
    """Parses a command line.

    As in TensorFlow Serving, arguments that are no flags of the server are printed with the usage and otherwise
    ignored. If a flag is given twice, the last one wins.

    Raises:
        ConfigError: A flag has an invalid value.
    """
    values: dict[str, object] = {}
    unknown: list[str] = []
    rest = iter(argv)
    for argument in rest:
        name, equals, text = argument.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not argument.startswith("--"):
            unknown.append(argument)
        elif name in _KINDS:
            values[name] = _value(name, text if equals else None, rest)
        elif not equals and _KINDS.get(name.removeprefix("no")) is bool:
            values[name.removeprefix("no")] = False
        else:
            unknown.append(argument)
    for argument in unknown:
        print(f"unknown argument: {argument}")  # noqa: T201 -- on stdout, as in the real server
    if unknown:
        print(usage(), flush=True)  # noqa: T201
    return ServerConfig(**values)  # type: ignore[arg-type]


def _value(name: str, text: str | None, rest: Iterator[str]) -> object:
    kind = _KINDS[name]
    if kind is bool:
        # As in TensorFlow's own parser, a bare boolean flag never takes the next argument.
        value = True if text is None else _BOOLEANS.get(text.lower())
        if value is None:
            raise ConfigError(name, text, "true or false")
        return value
    text = next(rest, None) if text is None else text
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise ConfigError(name, text, {int: "a whole number", float: "a number"}.get(kind, "a value")) from None
