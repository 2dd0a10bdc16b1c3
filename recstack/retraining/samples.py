"""Some users with what the live and the new models recommend to them, in titles, for people who look at a night."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.disk.files import write_text_atomically
from features.disk.layout import DatasetLayout, ModelName
from features.errors import RecstackError
from features.schema import Schema
from features.serialization import structure, unstructure
from recstack.display import read_titles

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


def last_items(history: Sequence[str]) -> tuple[str, ...]:
    """The end of a history, as much of it as is shown."""
    return tuple(history[-_HISTORY:])


def read_samples(path: Path) -> Samples | None:
    """The samples in a file; None if there is none or it is damaged."""
    try:
        return structure(json.loads(path.read_text("utf-8")), Samples, path.name)
    except (OSError, ValueError, RecstackError):
        return None
