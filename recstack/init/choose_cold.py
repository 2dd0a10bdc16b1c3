"""Items that nobody has chosen yet: how many of the events to find are theirs, and what lets their features count."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from features.spec.base import Feature
from recstack.init.log import Log
from recstack.init.proposal import FeatureChoice, LeftOut, Setting
from trainer.config.cascade import ListRankerConfig
from trainer.config.evaluation import EvaluationConfig

# Share of the held-out events of items without an earlier event, from which on they are worth a setting.
_LEAST_SHARE = 0.01
# Of 0, 0.1 and 0.3 the best on MovieLens, for all targets (docs/retrieval.md).
_ID_DROPOUT = 0.1
# Where a new item is taken nearly as often as a known one, it can stand where its neighbours stand. On Online Retail,
# where that is so, these two bring new items into the lists at a loss within the seeds' spread; on MovieLens, where it
# is not, they bring nothing (the same page).
_AS_POPULAR = 0.5
_NEIGHBOURS, _COST = 30, 0.002
# Of 0.1 and 0.25 on Online Retail, where it brings new items into the lists and costs some NDCG (docs/ranking.md).
_CANDIDATES = 0.1


def choose_for_new_items(
    log: Log, split: Iterable[Setting], columns: Iterable[FeatureChoice | LeftOut]
) -> Iterator[Setting]:
    """Settings that help items without events, where such items come and have features.

    Args:
        log: The events.
        split: The settings of `pipeline.split`.
        columns: What becomes of the tables' columns.
    """
    of_items = item_features(columns)
    settings = {setting.name: setting.value for setting in split}
    share = share_of_new_items(log, settings)
    if not of_items or share < _LEAST_SHARE:
        return
    why = f"{share:.0%} of the events held out are of items without an earlier one, which only their features describe"
    yield Setting(table="retrieval", name="id_dropout", value=_ID_DROPOUT, why=why)
    if not any(feature.has_words for feature in of_items):
        return
    if (popularity := popularity_of_new_items(log, settings)) >= _AS_POPULAR:
        why = (
            f"each is taken {popularity:.1f} times as often as a known one, so they get the mean vector of the items "
            "that their features resemble most"
        )
        yield Setting(table="retrieval", name="new_item_neighbours", value=_NEIGHBOURS, why=why)
        why = "share of validation's NDCG that may go for more of them in the lists"
        yield Setting(table="retrieval", name="new_item_cost", value=_COST, why=why)


def item_features(columns: Iterable[FeatureChoice | LeftOut]) -> list[Feature]:
    """The active features of items beside the id: the columns of the items table that the models learn from."""
    chosen = (choice for choice in columns if isinstance(choice, FeatureChoice) and choice.active)
    return [choice.feature for choice in chosen if choice.table == "items"]


def choose_candidates(cold: Iterable[Setting], cascade: Sequence[Setting]) -> Iterator[Setting]:
    """Candidates that are kept for new items, where these are taken as often as others and a list ranker can see that.

    It sees that by counts of yesterday, so they have to be refreshed. What new items are worth is for people to decide,
    so it stays a comment.

    Args:
        cold: What `choose_for_new_items` proposes.
        cascade: What `choose_cascade` proposes.
    """
    kept = ListRankerConfig(candidates=_size(cascade), new_item_candidates=_CANDIDATES)
    if kept.candidates - kept.num_new_candidates < min(EvaluationConfig().cutoffs):
        return  # training would refuse it
    are_popular = any(setting.name == "new_item_neighbours" for setting in cold)
    counts = {setting.name: setting.value for setting in cascade if setting.active}
    if are_popular and counts.get("enabled") and counts.get("refresh_days"):
        why = (
            "keeps a share of the candidates for new items; yesterday's counts tell which of them are taken, and more "
            "of them are shown for some loss of NDCG"
        )
        yield Setting(table="list_ranking", name="new_item_candidates", value=_CANDIDATES, why=why, active=False)


def _size(cascade: Iterable[Setting]) -> int:
    sizes = (int(str(setting.value)) for setting in cascade if setting.name == "candidates")
    return next(sizes, ListRankerConfig.candidates)


def share_of_new_items(log: Log, split: dict[str, object]) -> float:
    """Share of the held-out events whose item has no event before; validation and test are held out."""
    held_out = _held_out(log, split)
    if not held_out.any():
        return 0.0
    known = np.isin(log.items[held_out], log.items[~held_out])
    return float(1.0 - known.mean())


def popularity_of_new_items(log: Log, split: dict[str, object]) -> float:
    """Held-out events of an item without an event before, over those of an item with some; 0 if there are no such."""
    held_out = _held_out(log, split)
    items = log.items[held_out]
    is_new = ~np.isin(items, log.items[~held_out])
    new, known = items[is_new], items[~is_new]
    if len(new) == 0 or len(known) == 0:
        return 0.0
    return float(len(new) / len(np.unique(new)) / (len(known) / len(np.unique(known))))


def _held_out(log: Log, split: dict[str, object]) -> npt.NDArray[np.bool_]:
    """`[events]`: about those that the split holds out."""
    counts = np.bincount(log.users)
    ends = np.cumsum(counts)
    from_end = np.repeat(ends, counts) - np.arange(len(log))
    if split["kind"] == "leave_last_out":
        return from_end <= 2
    share = float(str(split["validation"])) + float(str(split["test"]))
    if split["kind"] == "global_time":
        return log.seconds > np.quantile(log.seconds, 1 - share)
    return from_end <= np.repeat(counts, counts) * share
