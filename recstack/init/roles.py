"""Which columns of the interactions say who, what and when, and which column of another table holds their ids."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from beam_pipelines.sources.texts import is_text, to_texts
from beam_pipelines.sources.time_formats import guess_time_format
from features.errors import InputError
from recstack.init import names
from recstack.init.questions import Ask, Question
from recstack.init.shapes import instead_of_users, other_shape
from recstack.init.times import TimeChoice, find_time

# Fewer different values are groups of users or items, not these themselves.
_FEWEST_IDS = 10
_SHOWN = 12
_DOUBTFUL = 0.5
_LEAST_SCORE = 0.9
# Of ids that are whole numbers without large gaps: two tables number from 1, whatever they number.
_DENSE = 0.5
_MOST_IN_A_WORD, _MOST_IN_A_TITLE, _COMES_AGAIN = 3, 12, 0.5
_MOST_OF_BEST = 0.5
_MOST_WITHOUT_ID, _NAMED = 0.5, 2
_SHORTENED = r"^\s*[+-]?\d+([.,]\d+)?[eE][+]?\d+\s*$"
_FLAGS = {"user": "--user-id", "item": "--item-id"}
_WORDS = {"user": names.USER, "item": names.ITEM}
_KEYS = {"user": "users", "item": "items"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A column in its role."""

    column: ColumnProfile
    """The column."""
    why: str
    """What spoke for it."""


@dataclass(frozen=True, kw_only=True)
class Roles:
    """The columns that every event has."""

    user: Choice
    """Who."""
    item: Choice
    """What."""
    time: TimeChoice
    """When."""

    @property
    def names(self) -> frozenset[str]:
        """The columns with a role."""
        return frozenset({self.user.column.name, self.item.column.name}) | self.time.names


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the caller knows; empty where it is to be guessed."""

    user: str = ""
    """Column of the interactions with the user."""
    item: str = ""
    """Column of the interactions with the item."""
    time: str = ""
    """Column of the interactions with the time, or `row-order`."""
    split: str = ""
    """`pipeline.split.kind`."""


@dataclass(frozen=True, kw_only=True)
class _Scored:
    score: float
    column: ColumnProfile
    why: str


def refuse(question: Question) -> str:
    """Answers no question: an `Ask` for programs.

    Raises:
        InputError: always; it names the flag that answers the question.
    """
    raise InputError(str(question))


def find_roles(events: TableProfile, others: Mapping[str, TableProfile], given: Given, ask: Ask = refuse) -> Roles:
    """Finds who, what and when: never one column twice.

    Args:
        events: the interactions.
        others: the tables `items` and `users`, as far as they are there.
        given: what need not be guessed.
        ask: answers what is doubtful.

    Raises:
        InputError: a column that is given is missing or cannot have the role, or a role has no column that could.
    """
    _check_given(events, given)
    time = find_time(events, given.time, frozenset({given.user, given.item} - {""}), ask)
    taken = time.names | frozenset({given.user, given.item} - {""})
    left = [column for column in events.columns if column.name not in taken]
    shown = [
        _Scored(score=100, column=column, why="the items that were shown, one event each")
        for column in events.columns
        if column.name == events.source.shown_items and not given.item
    ]
    scored = {
        role: (shown if role == "item" else []) or _given(events, name) or _scores(left, role, others.get(_KEYS[role]))
        for role, name in (("user", given.user), ("item", given.item))
    }
    user, item = _best_pair(scored, events, ask)
    return Roles(user=user, item=item, time=time)


def _check_given(events: TableProfile, given: Given) -> None:
    chosen = {"--user-id": given.user, "--item-id": given.item, "--timestamp": given.time}
    for flag, name in chosen.items():
        twice = [other for other, same in chosen.items() if name and same == name and other != flag]
        if twice:
            raise InputError(f"{flag} {name} and {twice[0]} {name}: expected a column of its own for each")
    for flag in ("--user-id", "--item-id"):
        if not chosen[flag]:
            continue
        column = events.column(chosen[flag])
        if column.kind in ("structure", "vector", "list"):
            first = column.values.drop_null().slice(0, 1).to_pylist()
            raise InputError(
                f"{events.path}: {flag} {column.name}: expected one id a row, found {column.kind}s: {first}"
            )
        if column.values.null_count == len(column.values):
            raise InputError(f"{events.path}: {flag} {column.name}: all its values are missing")


def _given(events: TableProfile, name: str) -> list[_Scored]:
    return [_Scored(score=100, column=events.column(name), why="given on the command line")] if name else []


def _scores(columns: list[ColumnProfile], role: str, table: TableProfile | None) -> list[_Scored]:
    """The columns that could have a role by name or by the ids of the other table, best first."""
    scored = [_score(column, columns, role, table) for column in columns if _can_be_ids(column)]
    return sorted((s for s in scored if s.score > _LEAST_SCORE), key=lambda one: -one.score)


def _score(column: ColumnProfile, columns: list[ColumnProfile], role: str, table: TableProfile | None) -> _Scored:
    score, why = names.role_score(column.name, _WORDS[role]), f"named like the {role}"
    other = {"user": "item", "item": "user"}[role]
    if set(names.words(column.name)) & names.OTHER_IDENTIFIER:
        score -= 1.5
    if table is None or names.role_score(column.name, _WORDS[other]) > max(score, 1.0):
        return _Scored(score=score, column=column, why=why)
    keys = keys_of(table)
    if any(key.name == column.name for key in keys):
        score, why = score + 3, f"the {role}s table has a column of this name with a value of its own in each row"
    if column in _identifiers(columns):
        share, key = max(((_overlap(column, key), key) for key in keys), key=lambda pair: pair[0], default=(0.0, None))
        if share > 0.5 and key is not None:
            # Small whole numbers occur in any two tables; then names have to tell.
            score += 0.3 * share if _is_dense(column) and _is_dense(key) else 4 * share
            why = f"{share:.0%} of its values are in the {role}s table" if why.startswith("named") else why
    return _Scored(score=score, column=column, why=why)


def _can_be_ids(column: ColumnProfile) -> bool:
    """Whether the values could be names of somebody or something: several, of one kind, and no sentences."""
    if column.kind not in ("integer", "text", "number") or column.distinct < 2:
        return False
    if len(shortened(column)):
        return False
    if column.kind == "number":
        # Such as 1234567890.1609459200 in a text.
        is_named = names.role_score(column.name, names.USER | names.ITEM) > _LEAST_SCORE
        return is_named and column.raw is not None and is_text(column.raw.type)
    if column.kind == "integer":
        return True
    words = pc.list_value_length(pc.utf8_split_whitespace(column.values.drop_null().slice(0, 1000)))
    # Titles name items where they come again and their column is called so, such as `game`.
    is_title = names.role_score(column.name, names.ITEM) >= _NAMED and column.distinct < _COMES_AGAIN * len(
        column.values
    )
    return float(pc.mean(words).as_py()) <= (_MOST_IN_A_TITLE if is_title else _MOST_IN_A_WORD)


def shortened(column: ColumnProfile) -> pa.StringArray:
    """The values of which a spreadsheet left the first digits, such as `9.78E+12`."""
    if column.raw is None or not is_text(column.raw.type):
        return pa.array([], pa.string())
    texts, _ = to_texts(column.raw)
    return texts.filter(pc.match_substring_regex(texts, _SHORTENED))


def _best_pair(scored: Mapping[str, list[_Scored]], events: TableProfile, ask: Ask) -> tuple[Choice, Choice]:
    """The two different columns that fit best together; what is doubtful is asked."""
    chosen: dict[str, _Scored] = {}
    pairs = [(u, i) for u in scored["user"] for i in scored["item"] if u.column.name != i.column.name]
    if pairs:
        chosen["user"], chosen["item"] = max(pairs, key=lambda pair: pair[0].score + pair[1].score)
    else:
        role = "user" if not scored["user"] else "item"
        other = {"user": "item", "item": "user"}[role]
        if scored[other]:
            chosen[other] = scored[other][0]
        return _by_values(chosen, events, ask)
    for role, best in chosen.items():
        taken = {one.column.name for one in chosen.values()}
        rivals = [s for s in scored[role] if s.column.name not in taken and best.score - s.score < _DOUBTFUL]
        if rivals:
            question = _question(events, role, (best.column, rivals[0].column))
            name = ask(question)
            chosen[role] = _Scored(score=100, column=events.column(name), why="chosen by you")
    return _choice(chosen["user"]), _choice(chosen["item"])


def _by_values(chosen: dict[str, _Scored], events: TableProfile, ask: Ask) -> tuple[Choice, Choice]:
    """Where no name tells: the columns whose values come again and are many are asked about."""
    for role in ("user", "item"):
        if role in chosen:
            continue
        taken = {one.column.name for one in chosen.values()}
        others = {"user": names.ITEM, "item": names.USER}[role] | names.TIME | names.RATING
        rest = [
            column
            for column in _identifiers(list(events.columns))
            if column.name not in taken
            and not set(names.words(column.name)) & others
            and not _is_time(column)
            and not len(shortened(column))
        ]
        if len(rest) + len(taken) < 2:
            instead = instead_of_users(events) if role == "user" else ""
            instead += _why_not(events, role)
            hint = f"name one by {_FLAGS[role]}{instead}{other_shape(events)}"
            raise _no_column(events, f"could be the {role}", hint)
        most = sorted(rest, key=lambda column: -column.distinct)[:2]
        name = ask(_question(events, role, most))
        chosen[role] = _Scored(score=100, column=events.column(name), why="chosen by you")
    return _choice(chosen["user"]), _choice(chosen["item"])


def _why_not(events: TableProfile, role: str) -> str:
    """What keeps a column that is named like the role from having it; empty where none is."""
    named = [column for column in events.columns if names.role_score(column.name, _WORDS[role]) >= _NAMED]
    if not named:
        return ""
    column = named[0]
    what = "no value" if column.distinct == 0 else f"one value, {column.examples[0]!r}" if column.distinct == 1 else ""
    what = what or f"values of type {column.kind}, such as {column.examples[0]!r}"
    return f"; {column.name!r} is named so, but holds {what}"


def _is_time(column: ColumnProfile) -> bool:
    found = guess_time_format(column.values)
    return found is not None and not found.is_order


def _question(events: TableProfile, role: str, choices: tuple[ColumnProfile, ...] | list[ColumnProfile]) -> Question:
    return Question(table=events.path, role=role, flag=_FLAGS[role], choices=tuple(choices))


def _choice(scored: _Scored) -> Choice:
    return Choice(column=scored.column, why=scored.why)


def find_key(table: TableProfile, column: ColumnProfile, role: str) -> Choice:
    """The column of the items or users table that holds the ids of the interactions.

    Args:
        table: The items or users table.
        column: The column of the interactions with the ids.
        role: `item` or `user`.

    Raises:
        InputError: no column does, or it has several rows an id.
    """
    keys = keys_of(table)
    shares = {key.name: _overlap(column, key) for key in keys}
    # Values decide before names do: a column called `url` that holds none of the log's ids is not their key.
    most = max(shares.values(), default=0.0)
    keys = [key for key in keys if shares[key.name] >= _MOST_OF_BEST * most]
    named = {
        key.name: max(
            3.5 * (key.name == column.name),
            names.role_score(key.name, _WORDS[role]),
            1.0 * (set(names.words(key.name)) <= names.IDENTIFIER),
        )
        for key in keys
    }
    dense = {key.name: _is_dense(key) and _is_dense(column) for key in keys}
    best = max(
        keys,
        key=lambda key: named[key.name] + shares[key.name] * (0.5 if dense[key.name] else 4),
        default=None,
    )
    fits = best is not None and (named[best.name] >= 1 or shares[best.name] > 0.5)
    several = next((c for c in table.columns if c not in keys and _names_the_role(c, column, role)), None)
    if several is not None and (best is None or not fits or named[best.name] < 2):
        raise InputError(_several_rows(table, several, role))
    if best is None or not fits:
        raise _no_column(table, "holds the ids of the interactions", f"give the {role}s' own column the log's name")
    return Choice(column=best, why=f"holds {shares[best.name]:.0%} of the ids of the interactions")


def _names_the_role(candidate: ColumnProfile, column: ColumnProfile, role: str) -> bool:
    is_named = candidate.name == column.name or names.role_score(candidate.name, _WORDS[role]) >= 3
    return is_named and candidate.kind in ("integer", "text") and _overlap(column, candidate) > 0.5


def _several_rows(table: TableProfile, column: ColumnProfile, role: str) -> str:
    rows = table.num_rows / max(column.distinct, 1)
    moment = next((c for c in table.columns if c is not column and _is_time(c)), None)
    others = [c for c in table.columns if c.name != column.name and c is not moment]
    pivot = ""
    if len(others) == 2:
        wide = f"pivot(index={column.name!r}, columns={others[0].name!r}, values={others[1].name!r})"
        last = _last_of_each(table, column, others[0], moment)
        pivot = f", such as pandas' table.{last}{wide}.reset_index()"
    return (
        f"{table.path}: no column holds the ids of the interactions once: {column.name!r} does, but in {rows:.1f} rows "
        f"an {role}; one row an {role} is needed: make a column of each property{pivot}"
    ).replace("an user", "a user")


def _last_of_each(
    table: TableProfile, column: ColumnProfile, named: ColumnProfile, moment: ColumnProfile | None
) -> str:
    """What a pivot needs first where a property of an item stands in several rows: pandas refuses to choose one."""
    pairs = pa.table([table.column(column.name).values, named.values], ["id", "property"]).group_by(["id", "property"])
    if pairs.aggregate([]).num_rows == table.num_rows:
        return ""
    by_time = f"sort_values({moment.name!r})." if moment is not None else ""
    return f"{by_time}drop_duplicates([{column.name!r}, {named.name!r}], keep='last')."


def keys_of(table: TableProfile) -> list[ColumnProfile]:
    """The columns that could name the rows: most rows have a value, which hardly ever is that of another row."""
    of_ids = (c for c in table.columns if c.kind in ("integer", "text") and c.missing < _MOST_WITHOUT_ID)
    return [c for c in of_ids if c.distinct > 0.8 * (table.num_rows - c.values.null_count)]


def _identifiers(columns: list[ColumnProfile]) -> list[ColumnProfile]:
    """Columns whose values come again and are many: neither row numbers nor groups."""
    return [
        column
        for column in columns
        if column.kind in ("integer", "text")
        and _FEWEST_IDS <= column.distinct < 0.9 * len(column.values)
        and not set(names.words(column.name)) & names.OTHER_IDENTIFIER
    ]


def _is_dense(column: ColumnProfile) -> bool:
    """Whether the values are whole numbers that lie close together, from a small one on."""
    if column.kind != "integer" or column.distinct == 0:
        return False
    bounds = pc.min_max(column.values).as_py()
    span = bounds["max"] - bounds["min"] + 1
    return bool(column.distinct >= _DENSE * span and abs(bounds["min"]) <= max(1000, span))


def _overlap(ids: ColumnProfile, key: ColumnProfile) -> float:
    """Share of the ids that occur in the column, however they are spelt."""
    present = _plain(ids).unique()
    if len(present) == 0:
        return 0.0
    return float(pc.mean(pc.is_in(present, _plain(key).unique())).as_py())


def _plain(column: ColumnProfile) -> pa.StringArray:
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(pc.cast(column.values.drop_null(), pa.string())))
    return pc.replace_substring_regex(pc.replace_substring_regex(texts, r"\.0+$", ""), r"^0+(\d)", r"\1")


def _shortened(table: TableProfile) -> str:
    """A column of ids of which a spreadsheet left the first digits."""
    for column in table.columns:
        if names.role_score(column.name, names.USER | names.ITEM) > _LEAST_SCORE and len(short := shortened(column)):
            return (
                f" ({column.name!r} holds {short[0].as_py()!r}, which is what spreadsheets leave of long numbers: "
                "export the table once more with its ids as text)"
            )
    return ""


def _no_column(table: TableProfile, role: str, option: str) -> InputError:
    known = ", ".join(repr(column.name) for column in table.columns[:_SHOWN])
    more = f" and {len(table.columns) - _SHOWN} more" if len(table.columns) > _SHOWN else ""
    return InputError(f"{table.path}: no column {role}{_shortened(table)}; the columns are {known}{more}; {option}")
