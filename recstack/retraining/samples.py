"""Some users with what the live and the new models recommend to them, in titles, for people who look at a night."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from features.disk.files import write_text_atomically
from features.disk.layout import DatasetLayout, ModelName
from features.errors import RecstackError
from features.schema import Schema
from features.serialization import structure, unstructure
from recstack.display import read_titles

if TYPE_CHECKING:
    from trainer.evaluation.served import RawQueries

Items: TypeAlias = tuple[str, ...]
SHOWN_USERS = 6
_HISTORY = 5


@dataclass(frozen=True, kw_only=True)
class SampleUser:
    """One query with the lists of both models, by item id."""

    name: str
    """The user's id, or the query's number where queries do not have it."""
    history: tuple[str, ...]
    """The last items before the query, oldest first."""
    wanted: tuple[str, ...]
    """What the user interacted with next: what a list should hold."""
    before: tuple[str, ...]
    """The live model's list, best first; empty for a first model."""
    after: tuple[str, ...]
    """The new model's list, best first."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The sample users of a night."""

    model: ModelName
    """Whose lists they are."""
    users: tuple[SampleUser, ...]
    titles: Mapping[str, str]
    """Titles by item id; empty where items have none."""

    def title(self, item_id: str) -> str:
        """The item's title, or its id where it has none."""
        return self.titles.get(item_id) or item_id

    def write(self, path: Path) -> None:
        """Writes them as JSON."""
        write_text_atomically(path, json.dumps(unstructure(self), indent=1) + "\n")


def shown_model(models: Collection[ModelName]) -> ModelName:
    """Whose lists are shown: what applications ask, the cascade where there is one."""
    return "recommender" if "recommender" in models else next(iter(models))


def with_titles(model: ModelName, users: Sequence[SampleUser], schema: Schema, dataset: DatasetLayout) -> Samples:
    """The users with the titles of all items in their lists.

    Raises:
        InputError: the dataset is damaged.
    """
    items = {item for user in users for part in (user.history, user.wanted, user.before, user.after) for item in part}
    return Samples(model=model, users=tuple(users), titles=read_titles(schema, dataset, items))


def shown_places(queries: int) -> "npt.NDArray[np.int64]":
    """A few queries of so many, evenly from all."""
    return np.arange(0, queries, max(-(-queries // SHOWN_USERS), 1), dtype=np.int64)


def sample_users(
    schema: Schema, raw: "RawQueries", wanted: Sequence[Items], before: Sequence[Items], after: Sequence[Items]
) -> tuple[SampleUser, ...]:
    """Puts the lists of both models beside what is known of each query.

    Args:
        schema: of the queries.
        raw: the queries that are shown.
        wanted: what was interacted with next, for each of them.
        before: the live or first model's list of each; an empty one if there is none.
        after: the new or second model's list of each.
    """
    names = raw.inputs.get(schema.user_id)
    histories = raw.inputs[schema.history.name] if schema.history is not None else raw.seen
    return tuple(
        SampleUser(
            name=names[place].decode() if names is not None else f"query {place + 1}",
            history=tuple(item.decode() for item in histories[place][-_HISTORY:]),
            wanted=wanted[place],
            before=before[place],
            after=after[place],
        )
        for place in range(len(raw))
    )


def read_samples(path: Path) -> Samples | None:
    """The samples in a file; None if there is none or it is damaged."""
    try:
        return structure(json.loads(path.read_text("utf-8")), Samples, path.name)
    except (OSError, ValueError, RecstackError):
        return None
