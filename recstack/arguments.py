"""A verb's arguments: the TOML file is the base, flags override single fields."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

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


def parse(kind: type[A], verb: str, arguments: Sequence[str]) -> A:
    """Parses a verb's arguments over the configuration file that they name.

    Raises:
        ConfigError: a field of the file is unknown, missing or has a wrong value.
        InputError: the file cannot be read.
        SystemExit: with code 2 for a wrong flag, 0 after `--help` or `--print-config`.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path, nargs="?")  # that a value is missing is for tyro to say
    path = first.parse_known_args(list(arguments))[0].config
    parsed = tyro.cli(
        kind,
        prog=f"recstack {verb}",
        args=list(arguments),
        default=kind(stack=load_config(path), config=path),
        config=(tyro.conf.FlagCreatePairsOff,),
        registry=kind_flags(),
    )
    if parsed.print_config:
        sys.stdout.write(parsed.resolved.to_toml())
        raise SystemExit(0)
    return parsed
