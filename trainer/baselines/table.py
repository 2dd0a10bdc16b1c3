"""The class of each baseline, imported when it is made: their libraries take a while."""

import importlib
from collections.abc import Mapping
from typing import Any

from features.errors import ConfigError
from trainer.baselines.contract import Baseline
from trainer.config.baselines import BaselineName, require_known

_CLASSES: Mapping[BaselineName, str] = {
    "popularity": "popularity:Popularity",
    "popularity_recent": "popularity:RecentPopularity",
    "context_popularity": "context_popularity:ContextPopularity",
    "repeat": "repeat:Repeat",
    "item_cf": "item_cf:ItemCF",
    "user_cf": "user_cf:UserCF",
    "content": "content:Content",
    "svd": "svd:SVD",
    "als": "als:ALS",
    "bpr": "bpr:BPR",
    "ease": "ease:EASE",
}


def make_baseline(
    name: BaselineName, *, item_texts: tuple[str, ...] = (), seed: int = 0, **parameters: Any
) -> Baseline:
    """Makes the baseline called `name`.

    Args:
        name: one of `BaselineName`.
        item_texts: the text of each item, in the order of the item rows; only `content` reads it.
        seed: Seed of those baselines that draw random numbers.
        **parameters: fields of its class; the class's defaults hold for the others.

    Raises:
        ConfigError: if there is no such baseline, or it has no such parameter or value.
        InputError: if it is `content` and no item has a text.
    """
    require_known("baseline", name)
    module, class_name = _CLASSES[name].split(":")
    baseline: type[Baseline] = getattr(importlib.import_module(f"trainer.baselines.{module}"), class_name)
    known = baseline.__dataclass_fields__.keys()
    for parameter in parameters.keys() - known:
        raise ConfigError(f"{name}.{parameter}", parameters[parameter], f"one of the parameters {sorted(known)}")
    context = {"item_texts": item_texts, "seed": seed}
    return baseline(**{field: value for field, value in context.items() if field in known} | parameters)
