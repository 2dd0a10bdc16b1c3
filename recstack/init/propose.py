"""The tables to a whole proposal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import IdRules, TableName
from beam_pipelines.passes.time_checks import TimeSummary, may_be_cycle
from beam_pipelines.profile.raw_table import TableProfile
from features.errors import InputError
from features.spec.base import Feature
from recstack.init.choose_baselines import choose_baselines
from recstack.init.choose_baskets import choose_baskets
from recstack.init.choose_cascade import choose_cascade
from recstack.init.choose_cold import choose_candidates, choose_for_new_items, item_features
from recstack.init.choose_features import Tables, choose_features
from recstack.init.choose_settings import (
    choose_cleaning,
    choose_models,
    choose_split,
    examples_of,
    history_length,
)
from recstack.init.earlier import choose_earlier, find_earlier_items
from recstack.init.id_spelling import IdColumn, Spelling, find_spelling
from recstack.init.labels import find_labels
from recstack.init.log import Log, log_of
from recstack.init.notices import notices_of
from recstack.init.proposal import FeatureChoice, LeftOut, Setting
from recstack.init.questions import Ask
from recstack.init.reading import TableLooks, read_table
from recstack.init.refusals import choose_limit, refusals_of_log, refusals_of_table
from recstack.init.roles import Choice, Given, Roles, find_key, find_roles, refuse
from recstack.init.times import oddities
from recstack.init.training_time import machine_speed

# Examples of the ranking model for each event of a log that holds no labels: itself and four negatives.
_DRAWN = 5
_KEYS: Mapping[TableName, str] = {"items": "item_id", "users": "user_id"}


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
    notices: tuple[str, ...] = ()
    """What a person should know before going on."""


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Profiles of the tables, columns with a role, events and labels: what the settings are chosen by."""

    looks: Mapping[TableName, TableLooks]
    tables: Tables
    spelling: Spelling
    log: Log
    split: tuple[Setting, ...]
    """`[pipeline.split]`."""
    examples: str
    """Kind of the training examples of retrieval: `retrieval.examples`."""
    why: str
    """The reason for it."""

    @property
    def keys(self) -> dict[str, Choice | None]:
        """The column of the item or the user by table."""
        return {"items": self.tables.item_key, "users": self.tables.user_key}

    @property
    def others(self) -> dict[str, TableProfile]:
        """The tables beside the interactions, by name."""
        return {table.name: table for table in (self.tables.items, self.tables.users) if table is not None}

    def with_items_of_log(self) -> "_Seen":
        """The same, with the interactions as the table of items: what follows from the item stands in them."""
        looks: dict[TableName, TableLooks] = {**self.looks, "items": _as_items(self.looks["interactions"])}
        tables = replace(self.tables, item_key=self.tables.roles.item)
        return replace(self, looks=looks, tables=tables, spelling=_with_items(self.spelling))


def propose(sources: Mapping[TableName, TableSource], given: Given, *, workdir: str, ask: Ask = refuse) -> Proposal:
    """Looks at the tables and decides.

    Args:
        sources: where they lie, interactions first, and what is known of their files.
        given: what need not be guessed.
        workdir: folder that the configuration names.
        ask: answers what is doubtful.

    Raises:
        InputError: a table cannot be read, or no column fills a role.
    """
    seen = _look(sources, given, ask)
    log, tables = seen.log, seen.tables
    split = seen.split
    cascade = tuple(choose_cascade(log.taken, split))
    columns = _columns(seen, cascade)
    if tables.items is None and item_features(columns):
        seen = seen.with_items_of_log()
    refusals = {"interactions": refusals_of_log(tables.events, tables.roles, tables.labels)} | {
        name: refusals_of_table(table, key)
        for name, table in seen.others.items()
        if (key := seen.keys[name]) is not None
    }
    new_items = tuple(choose_for_new_items(log.taken, split, columns))
    settings = (
        Setting(table="", name="workdir", value=workdir, why="the dataset, the runs and the SavedModels go here"),
        *choose_limit(refusals),
        *_sources(seen.looks, tables.roles, columns, seen.keys, log),
        *choose_earlier(tables.earlier_items),
        *seen.spelling.settings,
        *tables.labels.settings,
        *choose_cleaning(log),
        *split,
        *_models(seen, split, item_features(columns), new_items),
        *cascade,
        *choose_candidates(new_items, cascade),
    )
    profiles = seen.others | {"interactions": tables.events}
    notices = notices_of(profiles, tables.roles, log, tables.labels, seen.spelling.coverages, tuple(refusals.values()))
    return Proposal(
        tables=(tables.events, *seen.others.values()),
        roles=tables.roles,
        log=log,
        columns=columns,
        settings=settings,
        notices=tuple(notices),
    )


def _look(sources: Mapping[TableName, TableSource], given: Given, ask: Ask) -> _Seen:
    """Who did what and when, what that is worth, and how the ids are spelt."""
    looks = {name: read_table(name, source) for name, source in sources.items()}
    events, items, users = (
        looks[name].profile if name in looks else None for name in ("interactions", "items", "users")
    )
    assert events is not None
    roles = find_roles(events, {table.name: table for table in (items, users) if table is not None}, given, ask)
    item_key = find_key(items, roles.item.column, "item") if items is not None else None
    user_key = find_key(users, roles.user.column, "user") if users is not None else None
    spelling = _spelling(looks, roles, {"items": item_key, "users": user_key})
    log = log_of(events, roles, spelling.rules.get("interactions", IdRules()))
    if len(log) == 0:
        raise InputError(f"{events.path}: no row has a user, an item and a time")
    labels = find_labels(events, roles.names, log)
    log = replace(log, unwanted=labels.unwanted(events, log))
    split = tuple(choose_split(log, given.split))
    examples, why = examples_of(log.taken, next(setting.value for setting in split if setting.name == "kind"))
    tables = Tables(
        events=events,
        items=items,
        users=users,
        roles=roles,
        item_key=item_key,
        user_key=user_key,
        labels=labels,
        earlier_items=find_earlier_items(events, roles),
    )
    return _Seen(looks=looks, tables=tables, spelling=spelling, log=log, split=split, examples=examples, why=why)


def _columns(seen: _Seen, cascade: tuple[Setting, ...]) -> tuple[FeatureChoice | LeftOut, ...]:
    ranks_lists = any(setting.name == "enabled" and setting.active for setting in cascade)
    length = history_length(seen.log.taken, seen.examples)
    return tuple(choose_features(seen.tables, seen.log, seen.examples, length, ranks_lists=ranks_lists))


def _models(
    seen: _Seen, split: tuple[Setting, ...], of_items: list[Feature], new_items: tuple[Setting, ...]
) -> Iterator[Setting]:
    """Sizes of the models, what baskets and new items need, and what the models are compared with."""
    taken, examples = seen.log.taken, seen.examples
    labelled = seen.log.total if seen.tables.labels.has_negatives else _DRAWN * taken.total
    yield from choose_models(taken, examples, seen.why, labelled=labelled, speed=machine_speed())
    yield from choose_baskets(examples, split, of_items)
    yield from new_items
    has_words = any(feature.has_words for feature in of_items)
    yield from choose_baselines(taken, examples, with_content=bool(new_items) and has_words)


def _spelling(looks: Mapping[TableName, TableLooks], roles: Roles, keys: Mapping[str, Choice | None]) -> Spelling:
    sources = {name: look.profile.source for name, look in looks.items()}
    user, item = (
        IdColumn(table="interactions", column=choice.column, source=sources["interactions"])
        for choice in (roles.user, roles.item)
    )
    logs: dict[TableName, IdColumn] = {"items": item, "users": user}
    joins = [
        (log, IdColumn(table=name, column=key.column, source=sources[name]))
        for name, log in logs.items()
        if (key := keys[name]) is not None
    ]
    return find_spelling([user, item, *(other for _, other in joins)], joins)


def _as_items(interactions: TableLooks) -> TableLooks:
    settings = (replace(setting, table="pipeline.items") for setting in interactions.settings)
    return replace(interactions, settings=tuple(settings))


def _with_items(spelling: Spelling) -> Spelling:
    more = [replace(setting, table="pipeline.items") for setting in spelling.settings]
    return replace(spelling, settings=(*spelling.settings, *more))


def _sources(
    looks: Mapping[TableName, TableLooks],
    roles: Roles,
    columns: tuple[FeatureChoice | LeftOut, ...],
    keys: Mapping[str, Choice | None],
    log: Log,
) -> Iterator[Setting]:
    own = {"user_id": roles.user.column.name, "item_id": roles.item.column.name}
    if roles.time.column is not None:
        own["timestamp"] = roles.time.column.name
    events = looks["interactions"]
    yield from _source("interactions", events.profile.path, own, columns)
    yield from _times(roles, events.profile, log)
    yield from events.settings
    for name, role in _KEYS.items():
        if (key := keys[name]) is not None:
            yield from _source(name, looks[name].profile.path, {role: key.column.name}, columns)
            yield from looks[name].settings


def _times(roles: Roles, events: TableProfile, log: Log) -> Iterator[Setting]:
    table, how = "pipeline.interactions", roles.time.format
    if how.name and how.name != "s":
        yield Setting(table=table, name="timestamp_format", value=how.name, why=roles.time.why)
    if roles.time.column is None:
        return
    if how.name not in ("s", "ms", "us", "ns"):
        why = "of times that carry no zone of their own; UTC unless you say so"
        yield Setting(table=table, name="time_zone", value="UTC", why=why, active=False)
    if found := oddities(roles.time, events):
        why = f"you insisted on {roles.time.column.name}: {'; '.join(found)}"
        yield Setting(table=table, name="implausible_times", value="keep", why=why)
    elif may_be_cycle(TimeSummary.of(log.seconds, 0.0), round(log.shared_moments * len(log))):
        why = f"{roles.time.column.name} numbers what a user did, such as orders, and events at one number are together"
        yield Setting(table=table, name="implausible_times", value="keep", why=why)


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
