"""The tables to a whole proposal."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from beam_pipelines.config import TableSource
from beam_pipelines.profile.raw_table import TableProfile, profile_table
from features.errors import InputError
from recstack.init import names
from recstack.init.choose_features import Tables, choose_features
from recstack.init.choose_settings import (
    choose_cleaning,
    choose_models,
    choose_split,
    examples_of,
    history_length,
)
from recstack.init.labels import find_labels
from recstack.init.log import Log, log_of
from recstack.init.proposal import FeatureChoice, LeftOut, Setting
from recstack.init.roles import Choice, Given, Roles, find_key, find_roles


@dataclass(frozen=True, kw_only=True)
class TablePaths:
    """File names or patterns; empty where there is no such table."""

    interactions: str
    """Who did something with what, and when."""
    items: str = ""
    """What is known of the items."""
    users: str = ""
    """What is known of the users."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What was seen and what follows from it."""

    tables: tuple[TableProfile, ...]
    """As far as they were read; interactions first."""
    roles: Roles
    """Who, what, when."""
    log: Log
    """The events."""
    columns: tuple[FeatureChoice | LeftOut, ...]
    """What becomes of each column that has no role."""
    settings: tuple[Setting, ...]
    """Everything else, table by table."""


def propose(paths: TablePaths, given: Given, *, workdir: str) -> Proposal:
    """Looks at the tables and decides.

    Args:
        paths: where they lie.
        given: columns that need not be guessed.
        workdir: folder that the configuration names.

    Raises:
        InputError: a table cannot be read, or no column fills a role.
    """
    events = profile_table("interactions", TableSource(path=paths.interactions))
    items = profile_table("items", TableSource(path=paths.items)) if paths.items else None
    users = profile_table("users", TableSource(path=paths.users)) if paths.users else None
    others: dict[str, TableProfile] = {table.name: table for table in (items, users) if table is not None}
    roles = find_roles(events, others, given)
    log = log_of(events, roles)
    if len(log) == 0:
        raise InputError(f"{paths.interactions}: no row has a user, an item and a time")
    item_key = find_key(items, roles.item.column.values, names.ITEM) if items is not None else None
    user_key = find_key(users, roles.user.column.values, names.USER) if users is not None else None
    labels = find_labels(events, roles.names)
    examples, why = examples_of(log)
    tables = Tables(
        events=events,
        items=items,
        users=users,
        roles=roles,
        item_key=item_key,
        user_key=user_key,
        labels=labels,
    )
    columns = tuple(choose_features(tables, log, examples, history_length(log, examples)))
    if items is None and any(isinstance(c, FeatureChoice) and c.table == "items" and c.active for c in columns):
        # What follows from the item stands in the interactions themselves.
        paths, item_key = replace(paths, items=paths.interactions), roles.item
    settings = (
        Setting(table="", name="workdir", value=workdir, why="the dataset, the runs and the SavedModels go here"),
        *_sources(paths, roles, columns, item_key, user_key),
        *labels.settings,
        *choose_cleaning(log),
        *choose_split(log),
        *choose_models(log, examples, why, has_negatives=labels.has_negatives),
    )
    read = tuple(table for table in (events, items, users) if table is not None)
    return Proposal(tables=read, roles=roles, log=log, columns=columns, settings=settings)


def _sources(
    paths: TablePaths,
    roles: Roles,
    columns: tuple[FeatureChoice | LeftOut, ...],
    item_key: Choice | None,
    user_key: Choice | None,
) -> Iterator[Setting]:
    own = {"user_id": roles.user, "item_id": roles.item, "timestamp": roles.time}
    yield from _source("interactions", paths.interactions, {n: c.column.name for n, c in own.items()}, columns)
    table = "pipeline.interactions"
    how = roles.time_format
    if how.name and how.name != "s":
        yield Setting(table=table, name="timestamp_format", value=how.name, why=roles.time.why)
    if how.name not in ("s", "ms", "us", "ns"):
        why = "of times that carry no zone of their own; UTC unless you say so"
        yield Setting(table=table, name="time_zone", value="UTC", why=why, active=False)
    if item_key is not None:
        yield from _source("items", paths.items, {"item_id": item_key.column.name}, columns)
    if user_key is not None:
        yield from _source("users", paths.users, {"user_id": user_key.column.name}, columns)


def _source(
    name: str, path: str, roles: dict[str, str], columns: tuple[FeatureChoice | LeftOut, ...]
) -> Iterator[Setting]:
    table = f"pipeline.{name}"
    origin = {
        "interactions": "who did something with what, and when",
        "items": "what is known of the items",
        "users": "what is known of the users",
    }
    yield Setting(table=table, name="path", value=path, why=origin[name])
    mapping = roles | {
        choice.feature.name: choice.column
        for choice in columns
        if isinstance(choice, FeatureChoice) and choice.table == name and choice.feature.name != "item_id"
    }
    renamed = {ours: theirs for ours, theirs in mapping.items() if ours != theirs}
    if renamed:
        yield Setting(table=table, name="columns", value=renamed, why="our name = the table's")
