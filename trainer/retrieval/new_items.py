"""How far the scores of new items are shifted: as far as the validation's NDCG allows."""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import UNKNOWN, Bool, Float, Int, Ragged
from trainer.metrics.top_k import Rankings, merge, rank_by_inner_product

# In units of the logits: up to four hundred times the odds, or as small a part of them.
SHIFTS = tuple(float(shift) for shift in np.arange(-6.0, 6.01, 0.25))


class RankedApart(NamedTuple):
    """Lists of the same queries, of the items that training has seen and of the new ones."""

    known: Rankings
    """The best k of the items that training has seen, by catalogue rows."""
    new: Rankings
    """The best k of the others."""
    is_new: Bool
    """`[num_items]`: which these are, neither all nor none."""

    def lists(self, shift: float, cutoff: int) -> Int:
        """`[queries, cutoff] int64`: the best of both, with the scores of new items shifted."""
        shifted = Rankings(self.new.item_rows, self.new.scores + np.float32(shift))
        return merge(self.known, shifted, cutoff).item_rows


def ranked_apart(
    queries: Float, items: Float, is_new: Bool, k: int, *, seen: Ragged | None, added: sp.csr_array | None
) -> RankedApart:
    """The best k of the items that training has seen, and the best k of the new ones.

    Args:
        queries: `[queries, d] float32`.
        items: `[num_items, d] float32`.
        is_new: `[num_items]`, neither all nor none of them.
        k: items to return for each query.
        seen: as of `rank_by_inner_product`.
        added: as of `rank_by_inner_product`.
    """
    known, new = (_ranked_among(np.flatnonzero(kept), queries, items, k, seen, added) for kept in (~is_new, is_new))
    return RankedApart(known, new, is_new)


def _ranked_among(
    rows: Int, queries: Float, items: Float, k: int, seen: Ragged | None, added: sp.csr_array | None
) -> Rankings:
    found = rank_by_inner_product(
        queries,
        items[rows],
        k,
        seen=None if seen is None else seen.among(rows),
        added=None if added is None else added[:, rows],
    )
    return Rankings(np.where(found.item_rows == UNKNOWN, UNKNOWN, rows[found.item_rows]), found.scores)


def bearable_shift(found: RankedApart, targets: Ragged, scale: float, cutoff: int, *, cost: float) -> float:
    """The largest shift of new items' scores that keeps the NDCG within `cost` of the best of all shifts.

    It is negative where new items rank too high, and 0 where no shift finds any target. New items get no larger share
    of the lists than they have of the targets, or than the shift with the best NDCG gives them: where the first places
    decide nearly all of the NDCG, the others would cost nothing.

    Args:
        found: Lists of the items that training has seen and of the others.
        targets: Of their queries.
        scale: Score of one unit of the logits.
        cutoff: Of the NDCG.
        cost: Share of the NDCG that may be given up.

    Returns:
        What to add to the scores of new items.
    """
    lists = {shift: found.lists(shift * scale, cutoff) for shift in SHIFTS}
    quality = {shift: _ndcg(rows, targets, cutoff) for shift, rows in lists.items()}
    if not any(quality.values()):
        return 0.0
    best = max(quality, key=lambda shift: quality[shift])
    most = max(_share(found.is_new, targets.values), _share(found.is_new, lists[best]))
    bearable = (shift for shift in SHIFTS if quality[shift] >= (1 - cost) * quality[best])
    return scale * max(shift for shift in bearable if _share(found.is_new, lists[shift]) <= most)


def _share(is_new: Bool, rows: Int) -> float:
    """Share of new items among rows of the catalogue, of which negative ones are none."""
    known = rows[rows >= 0]
    return float(is_new[known].mean()) if len(known) else 0.0


def _ndcg(lists: Int, targets: Ragged, cutoff: int) -> float:
    return float(query_metrics(lists, targets, [cutoff])[f"ndcg@{cutoff}"].mean())
