"""`recstack init`: your tables in, a commented configuration out."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro
from rich.table import Table

from features.disk.files import make_directory, write_text_atomically
from features.errors import InputError
from recstack.config import StackConfig, parse_config
from recstack.console import Voice, is_terminal

if TYPE_CHECKING:
    from beam_pipelines.config import TableSource
    from beam_pipelines.config.source import TableName
    from recstack.init.propose import Proposal

_SHOWN_ENTRIES = 8
_CAPTION = "in (parentheses): stands in the file as a comment, for you to turn on"


@dataclass(frozen=True, kw_only=True)
class InitArguments:
    """Looks at your tables and writes a configuration that `recstack prepare` and `recstack train` accept."""

    interactions: str
    """File or pattern of the table that says who did something with what, and when: Parquet, CSV or JSON Lines."""
    items: str = ""
    """File or pattern of the table of items, if there is one."""
    users: str = ""
    """File or pattern of the table of users, if there is one."""
    output: Path = Path("recstack.toml")
    """The configuration to write."""
    force: bool = False
    """Replace the configuration if it is there already."""
    user_id: str = ""
    """Column of the interactions with the user, if the guess is wrong."""
    item_id: str = ""
    """Column of the interactions with the item, if the guess is wrong."""
    timestamp: str = ""
    """Column of the interactions with the time, if the guess is wrong; `row-order` if there is none and later rows
    happened later."""
    split: Literal["", "global_time", "per_user_fraction", "leave_last_out"] = ""
    """Kind of the split into training, validation and test, if the guess is wrong; the models are proposed for it."""
    format: str = "auto"
    """Format of files whose name does not tell it, such as csv for any text with a delimiter, jsonl or parquet."""
    header: tuple[str, ...] = ()
    """Names of the columns of interactions without a header line."""
    items_header: tuple[str, ...] = ()
    """Names of the columns of items without a header line."""
    users_header: tuple[str, ...] = ()
    """Names of the columns of users without a header line."""
    delimiter: str = ""
    """Between the fields of text lines in all tables, if the guess is wrong."""
    encoding: str = ""
    """Character encoding of text files in all tables, if the guess is wrong."""
    json: bool = False
    """Print the result as one JSON object."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = tyro.cli(InitArguments, prog="recstack init", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
    init(parsed, Voice("init", as_json=parsed.json), command=shlex.join(["recstack", "init", *arguments]))
    return 0


def init(arguments: InitArguments, voice: Voice, *, command: str) -> StackConfig:
    """Writes the configuration, shows what was guessed, and returns it.

    Raises:
        InputError: the output is there already, a table cannot be read, or no column fills a role.
    """
    from recstack.init.document import render
    from recstack.init.propose import propose
    from recstack.init.roles import Given, refuse

    output = arguments.output
    if output.exists() and not arguments.force:
        raise InputError(f"{output}: is there already; name another by --output or replace it with --force")
    voice.progress(f"looking at {arguments.interactions}")
    given = Given(user=arguments.user_id, item=arguments.item_id, time=arguments.timestamp, split=arguments.split)
    ask = refuse if arguments.json or not is_terminal() else voice.choose
    proposal = propose(_sources(arguments), given, workdir=f"{output.stem}-work", ask=ask)
    text = render(proposal, command=command)
    stack = parse_config(text, str(output))
    make_directory(output.parent)
    write_text_atomically(output, text)
    for table in (*_columns_tables(proposal), _facts_table(proposal), _settings_table(proposal)):
        voice.show(table)
    for notice in proposal.notices:
        voice.progress(notice)
    chosen = {setting.path: setting.value for setting in proposal.settings if setting.active}
    voice.result(
        f"{output}: read it, then run `recstack prepare --config {output}`",
        {"config": str(output), "notices": list(proposal.notices)} | chosen,
    )
    return stack


def _sources(arguments: InitArguments) -> "dict[TableName, TableSource]":
    from beam_pipelines.config import TableSource

    paths: dict[TableName, tuple[str, tuple[str, ...]]] = {
        "interactions": (arguments.interactions, arguments.header),
        "items": (arguments.items, arguments.items_header),
        "users": (arguments.users, arguments.users_header),
    }
    sources = {
        name: TableSource(
            path=path,
            header=header,
            format=arguments.format,
            delimiter=arguments.delimiter.replace("\\t", "\t"),
            encoding=arguments.encoding,
        )
        for name, (path, header) in paths.items()
        if path
    }
    for name, source in sources.items():
        source.check(f"{name}")
    return sources


def _columns_tables(proposal: "Proposal") -> Iterator[Table]:
    from recstack.init.explain import column_uses

    for name, uses in groupby(column_uses(proposal), key=lambda use: use.table):
        title = f"What the columns of the {name} are taken for"
        table = Table(title=title, title_justify="left", caption=_CAPTION, caption_justify="left")
        for heading in ("column", "type", "different", "missing", "taken for", "why"):
            is_number = heading in ("different", "missing")
            table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
        for use in uses:
            missing = f"{use.missing:.1%}" if use.missing else ""
            table.add_row(use.column, use.kind, f"{use.distinct:,}", missing, use.taken_for, use.why)
        yield table


def _facts_table(proposal: "Proposal") -> Table:
    from recstack.init.explain import facts

    table = Table(title="Your log", title_justify="left", show_header=False)
    for name, value in facts(proposal.log):
        table.add_row(name, value)
    return table


def _settings_table(proposal: "Proposal") -> Table:
    table = Table(title="What follows", title_justify="left", caption=_CAPTION, caption_justify="left")
    for name in ("setting", "value", "why"):
        table.add_column(name, overflow="fold", no_wrap=name == "setting")
    for setting in proposal.settings:
        name = setting.path if setting.active else f"({setting.path})"
        table.add_row(name, _shown(setting.value), setting.why)
    return table


def _shown(value: object) -> str:
    """A setting's value as a person reads it: a table as lines of `key = value`."""
    if not isinstance(value, dict):
        return str(value)
    if len(value) > _SHOWN_ENTRIES:
        return f"{len(value)} columns"
    return "\n".join(f"{key} = {entry}" for key, entry in value.items())
