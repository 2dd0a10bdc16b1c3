"""`recstack query`: recommendations for one user from a running server."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from features.encoding.vocabulary import Vocabulary
from features.errors import InputError
from features.schema import Schema
from features.spec.base import Feature
from recstack.arguments import StackArguments, parse
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.display import read_titles, served_catalogue, unknown_items
from recstack.reasons import as_json, reasons_table, shown_history
from trainer.config.export import MOST_EXPLAINED

if TYPE_CHECKING:
    from serving.client import Recommendation

_MOST_ITEMS = 2**31 - 1  # what the signatures' int32 holds; the model refuses what is too many for it


@dataclass(frozen=True, kw_only=True)
class QueryArguments(StackArguments):
    """Asks a running server for one user's recommendations."""

    user: str = ""
    """The user's id; an id the model does not know, or none, is a new user."""
    history: tuple[str, ...] = ()
    """Item ids the user interacted with, oldest first, instead of the history the model knows."""
    context: tuple[str, ...] = ()
    """What else the model is told of the user and the moment, each `name=value` with the features' names, a list's
    values apart by commas: `device=phone age=31 history_timestamps=1735689600,1735776000`."""
    exclude: tuple[str, ...] = ()
    """Item ids not to recommend."""
    filters: tuple[str, ...] = ()
    """What items must be, each `name=value` with the model's input names: `year_min=1990 genres_any_of=Drama,War`; and
    what counts more or less: `genres_boosted=War genres_buried=Drama shown_item_ids=1,1,5`."""
    diversity: float | None = None
    """How much the items differ from each other, from 0, relevance alone, to 1; none: as the model is configured."""
    new_item_share: float | None = None
    """Share of the places, from 0 to 1, kept for items without training events; none: as the model is configured."""
    k: int = 10
    """Number of recommendations."""
    address: str = "localhost:8500"
    """host:port of the server's gRPC API."""
    model: str = "recommender"
    """Name of the servable: recommender, retrieval or retrieval_exact."""
    timeout: float = 5.0
    """Seconds to wait for the answer."""
    explain: bool = False
    """Show why each item has its score: the factors by which features and items of the history raise or lower it beside
    an average candidate's."""
    titles: bool = True
    """Show titles, if the items have any and the catalogue is in the work directory."""


def main(arguments: list[str]) -> int:
    """Runs the verb; returns its exit code."""
    parsed = parse(QueryArguments, "query", arguments)
    query(parsed, Voice("query", as_json=parsed.json))
    return 0


def query(arguments: QueryArguments, voice: Voice) -> "Sequence[Recommendation]":
    """Asks the server and shows its answer.

    Raises:
        InputError: `k`, the timeout, the address, a feature, a filter, the diversity or the share is not as it must be,
            or a history is given and the features have none.
        CallError: the server cannot be reached or refuses.
    """
    from serving.client import RecommenderClient

    if not 1 <= arguments.k <= _MOST_ITEMS:
        raise InputError(f"--k {arguments.k}: expected at least 1 and at most {_MOST_ITEMS}")
    if arguments.explain and arguments.k > MOST_EXPLAINED:
        raise InputError(f"--k {arguments.k}: expected at most {MOST_EXPLAINED} with --explain; ask for fewer")
    if not arguments.timeout > 0:
        raise InputError(f"--timeout {arguments.timeout}: expected more than 0 seconds")
    if not arguments.address:
        raise InputError("--address '': expected host:port of a server's gRPC API, such as localhost:8500")
    inputs = _inputs(arguments.stack, arguments)
    notes = (_note_on_user(arguments, inputs), *_notes_on_items(arguments), *_notes_on_context(arguments))
    for note in filter(None, notes):
        voice.progress(note)
    if unknown := [name for name in _context_features(arguments.stack.features) if name not in inputs]:
        voice.progress(f"not given by --context, so not known to the model: {', '.join(unknown)}")
    with RecommenderClient(arguments.address, model=arguments.model, timeout_seconds=arguments.timeout) as client:
        exclude = [list(arguments.exclude)] if arguments.exclude else None
        wanted = _filters(arguments.filters)
        wanted |= _share("diversity", arguments.diversity) | _share("new_item_share", arguments.new_item_share)
        if arguments.explain:
            explained = client.explain(inputs, k=arguments.k, exclude=exclude, filters=wanted)[0]
            items = [each.recommendation for each in explained]
        else:
            explained, items = [], client.recommend(inputs, k=arguments.k, exclude=exclude, filters=wanted)[0]
    if not items:
        voice.progress("no item is left: --filters, --exclude and what the user had before leave out all of them")
    shown = {item.item_id for item in items} | shown_history(explained)
    titles = _titles(arguments, shown) if arguments.titles else {}
    voice.show(reasons_table(explained, titles) if arguments.explain else _table(items, titles))
    found: list[dict[str, object]] = [{"item_id": item.item_id, "score": item.score} for item in items]
    for item, explanation in zip(found, explained, strict=False):
        item["explanation"] = as_json(explanation)
    voice.result(
        f"{len(items)} items for {_asker(arguments)} from {arguments.model} at {arguments.address}",
        {"user": arguments.user, "items": found},
    )
    return items


def _titles(arguments: QueryArguments, item_ids: set[str]) -> dict[str, str]:
    """Titles by item id, of the catalogue that the model has; of items that it lost, those of the dataset."""
    titles: dict[str, str] = {}
    layout = arguments.stack.layout
    served = served_catalogue(layout, arguments.model) or layout.dataset
    for catalogue in dict.fromkeys((served, layout.dataset)):
        titles |= read_titles(arguments.stack.features, catalogue, item_ids - titles.keys())
    return titles


def _inputs(stack: StackConfig, arguments: QueryArguments) -> dict[str, list[object]]:
    schema = stack.features
    inputs: dict[str, list[object]] = {}
    if any(feature.name == schema.user_id for feature in schema.query):
        inputs[schema.user_id] = [arguments.user]
    if schema.history is not None and (arguments.history or not inputs):
        inputs[schema.history.name] = [list(arguments.history) or [""]]
    elif arguments.history:
        raise InputError(f"--history {' '.join(arguments.history)}: the features have none of kind 'history'")
    context = _context(schema, arguments.context)
    for feature in schema.history_companions:
        given = context.get(feature.name)
        if isinstance(given, list) and len(given) != len(arguments.history):
            expected = f"expected one for each of the {len(arguments.history)} items of --history"
            raise InputError(f"--context {feature.name}: {len(given)} values found, {expected}")
    return inputs | {name: [value] for name, value in context.items()}


def _context(schema: Schema, given: Sequence[str]) -> dict[str, object]:
    """Feature name to raw value, of the type of the model's input."""
    companions = {feature.name: feature for feature in schema.history_companions}
    features = _context_features(schema) | companions
    context: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in features:
            others = ", ".join(features) or "no query feature beside the user's id and history"
            raise InputError(f"--context {text}: expected name=value, with a name that the configuration has: {others}")
        if name in context:
            raise InputError(f"--context {text}: {name} is given twice; separate the values of a list by commas")
        context[name] = _raw_value(text, features[name], value)
    return context


def _context_features(schema: Schema) -> dict[str, Feature]:
    """Those that the model cannot look up by the user's id."""
    return {
        feature.name: feature
        for feature in schema.query
        if feature.owner != "history" and feature.name != schema.user_id
    }


def _raw_value(text: str, feature: Feature, value: str) -> object:
    kind = {"string": str, "int64": int, "float32": float}[feature.raw_type]
    try:
        values = [kind(part) for part in (value.split(",") if feature.is_list else [value])]
    except ValueError:
        numbers = "whole numbers" if kind is int else "numbers"
        raise InputError(f"--context {text}: expected {numbers if feature.is_list else numbers[:-1]}") from None
    if kind is float and any(map(math.isinf, values)):
        raise InputError(f"--context {text}: expected a finite number, or nan for one that is not known")
    if feature.fixed_length not in (None, len(values)):
        raise InputError(f"--context {text}: {len(values)} numbers found, expected {feature.fixed_length}")
    return values if feature.is_list else values[0]


def _filters(given: Sequence[str]) -> dict[str, object]:
    filters: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--filters {text}: expected name=value, such as year_min=1990 or genres_any_of=Drama,War")
        filters[name] = _bound(text, value) if name.endswith(("_min", "_max")) else value.split(",")
    return filters


def _share(name: str, given: float | None) -> dict[str, object]:
    """An input of the model from 0 to 1; empty where none is given."""
    if given is None:
        return {}
    if not 0 <= given <= 1:
        raise InputError(f"--{name.replace('_', '-')} {given}: expected a number from 0 to 1")
    return {name: given}


def _bound(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"--filters {text}: expected a number") from None


def _note_on_user(arguments: QueryArguments, inputs: Mapping[str, object]) -> str | None:
    """What to say of a user whom the model does not know; None for one that it knows, or if there is no dataset."""
    schema, instead = arguments.stack.features, _instead_of_user(arguments)
    if schema.user_id not in inputs:
        return f"the features have no {schema.user_id}: --user is not sent; {instead}" if arguments.user else None
    path = arguments.stack.layout.dataset.vocabulary(schema.user_id)
    if not path.is_file() or arguments.user in Vocabulary.read(path).tokens:
        return None
    who = f"user {arguments.user!r} is unknown to the model" if arguments.user else "no --user is given"
    return f"{who}: answered as a new user; {instead}"


def _notes_on_items(arguments: QueryArguments) -> Iterator[str]:
    """Warnings about ids of --history and --exclude that the model does not know; none if that is not on disk."""
    catalogue, schema = served_catalogue(arguments.stack.layout, arguments.model), arguments.stack.features
    if catalogue is None:
        return
    unknown = unknown_items(schema, catalogue, {*arguments.history, *arguments.exclude})
    as_unknown = "so read as an unknown item, which says little or nothing"
    given = ("--history", arguments.history, as_unknown), ("--exclude", arguments.exclude, "so without effect")
    for flag, items, effect in given:
        if named := [item for item in items if item in unknown]:
            yield f"{flag}: not in the catalogue, {effect}: {', '.join(named)}"
    path = arguments.stack.layout.dataset.vocabulary(schema.item_id)
    if arguments.history and path.is_file():
        learnt = unknown.union(Vocabulary.read(path).tokens)
        if new := [item for item in arguments.history if item not in learnt]:
            little = "in the catalogue, but unknown to the model, so they say little or nothing"
            yield f"--history: {little}: {', '.join(new)}"


def _notes_on_context(arguments: QueryArguments) -> Iterator[str]:
    """Warnings about values of --context outside the vocabularies; none where these are not on disk."""
    schema, dataset = arguments.stack.features, arguments.stack.layout.dataset
    features = _context_features(schema)
    for text in arguments.context:
        name, _, value = text.partition("=")
        path = dataset.vocabulary(name)
        if name not in features or name not in schema.vocabularies or not path.is_file():
            continue
        values = value.split(",") if features[name].is_list else [value]
        known = {"", *Vocabulary.read(path).tokens}  # nothing is missing, not unknown
        if unknown := [one for one in values if one not in known]:
            yield f"--context {name}: not in the vocabulary, so read as an unknown value: {', '.join(unknown)}"


def _asker(arguments: QueryArguments) -> str:
    return f"user {arguments.user!r}" if arguments.user else "a new user"


def _instead_of_user(arguments: QueryArguments) -> str:
    if arguments.history:
        return "the model goes by --history"
    if arguments.context:
        return "the model goes by --context; --history would say what the user liked"
    return "the model knows nothing of the user; --history would say what the user liked"


def _table(items: "Sequence[Recommendation]", titles: Mapping[str, str]) -> Table:
    table = Table()
    table.add_column("item")
    if titles:
        table.add_column("title")
    table.add_column("score", justify="right")
    with_new = any(item.is_explored for item in items)
    if with_new:
        table.add_column("place")
    for item in items:
        shown = [item.item_id, titles.get(item.item_id, "")] if titles else [item.item_id]
        table.add_row(*shown, f"{item.score:.4g}", *([_place(item)] if with_new else []))
    return table


def _place(item: "Recommendation") -> str:
    return "kept for new items" if item.is_explored else ""
