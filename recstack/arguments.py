"""A verb's arguments: the TOML file is the base, flags override single fields."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from features.errors import ConfigError
from recstack.config import StackConfig, load_config
from recstack.kind_flags import kind_flags


@dataclass(frozen=True, kw_only=True)
class StackArguments:
    """Arguments of every verb that works on a stack."""

    config: Path | None = None
    """TOML file with the configuration; without one, the embedded configuration of the MovieLens demo."""
    json: bool = False
    """Print the result as one JSON object."""
    print_config: bool = False
    """Print the resolved configuration as TOML and do nothing else."""
    stack: Annotated[StackConfig, tyro.conf.arg(name="")]
    """Overrides of single fields."""

    @property
    def resolved(self) -> StackConfig:
        """The configuration that the verb works with."""
        return self.stack


A = TypeVar("A", bound=StackArguments)

_HELP_FLAGS = ("-h", "--help")
_HELP_CONFIG = "--help-config"
_HELP_ABOUT_CONFIGURATION = (
    "Every field of the configuration is an option too, such as `--retrieval.batch-size 4096`: "
    "`recstack {verb} --help-config` lists them, docs/configuration.md explains them."
)


def parse(kind: type[A], verb: str, arguments: Sequence[str]) -> A:
    """Parses a verb's arguments over the configuration file that they name.

    `--help` shows the verb's own options, `--help-config` those of the configuration as well.

    Raises:
        ConfigError: a field of the file is unknown, missing or has a wrong value.
        InputError: the file cannot be read.
        SystemExit: with code 2 for a wrong flag, 0 after `--help`, `--help-config` or `--print-config`.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path, nargs="?")  # that a value is missing is for tyro to say
    path = first.parse_known_args(list(arguments))[0].config
    stack = load_config(path)
    if any(flag in arguments for flag in _HELP_FLAGS):
        _show_own_options(kind, verb, stack)
    given = [_HELP_FLAGS[1] if argument == _HELP_CONFIG else argument for argument in arguments]
    try:
        parsed = tyro.cli(
            kind,
            prog=f"recstack {verb}",
            args=given,
            default=kind(stack=stack, config=path),
            config=(tyro.conf.FlagCreatePairsOff,),
            registry=kind_flags(),
        )
    except ConfigError as error:
        raise _with_whole_path(error, given) from None
    if parsed.print_config:
        sys.stdout.write(parsed.resolved.to_toml())
        raise SystemExit(0)
    return parsed


def _with_whole_path(error: ConfigError, arguments: Sequence[str]) -> ConfigError:
    """The error with the dotted path of the flag that gave the value; a table does not know which field holds it."""
    given: dict[str, str] = {}
    for argument, following in zip(arguments, (*arguments[1:], ""), strict=True):
        if argument.startswith("--"):
            flag, equals, text = argument.removeprefix("--").partition("=")
            given[flag.replace("-", "_")] = text if equals else following
    ending = "." + error.field.lstrip(".")
    fitting = [path for path, text in given.items() if path.endswith(ending) and _may_be(error.value, text)]
    return ConfigError(" or ".join(fitting), error.value, error.expected) if fitting else error


def _may_be(value: object, text: str) -> bool:
    """Whether a flag's text may have given the value; of other values than numbers and texts that is not known."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return True
    try:
        return type(value)(text) == value
    except ValueError:
        return False


def _show_own_options(kind: type[A], verb: str, stack: StackConfig) -> None:
    """Prints the help of the verb without the configuration's tables, and exits.

    Raises:
        SystemExit: with code 0.
    """
    tables_hidden = _hiding_tables(StackConfig)
    shown = make_dataclass(
        kind.__name__,
        [("stack", Annotated[tables_hidden, tyro.conf.arg(name="")])],
        bases=(kind,),
        frozen=True,
        kw_only=True,
    )
    tyro.cli(
        shown,
        prog=f"recstack {verb}",
        description=f"{kind.__doc__}\n\n{_HELP_ABOUT_CONFIGURATION.format(verb=verb)}",
        args=[_HELP_FLAGS[1]],
        default=shown(stack=tables_hidden(**{field.name: getattr(stack, field.name) for field in fields(stack)})),
        config=(tyro.conf.FlagCreatePairsOff,),
    )


def _hiding_tables(node: type) -> type[Any]:
    """The dataclass with the fields that are tables of their own hidden from the command line."""
    hints = get_type_hints(node)
    tables = [name.name for name in fields(node) if is_dataclass(hints[name.name])]
    hidden = [(name, Annotated[hints[name], tyro.conf.Suppress], field()) for name in tables]
    return make_dataclass(node.__name__, hidden, bases=(node,), frozen=True, kw_only=True)
