"""How far the scores of new items are shifted: as far as the validation's NDCG allows."""

import numpy as np
import scipy.sparse as sp

from trainer.metrics.lists import query_metrics
from trainer.metrics.protocol import UNKNOWN, Bool, Float, Int, Ragged
from trainer.metrics.top_k import Rankings, merge, rank_by_inner_product

# In units of the logits: up to four hundred times the odds, or as small a part of them.
SHIFTS = tuple(float(shift) for shift in np.arange(-6.0, 6.01, 0.25))


def ranked_apart(
    queries: Float, items: Float, is_new: Bool, k: int, *, seen: Ragged | None, added: sp.csr_array | None
) -> tuple[Rankings, Rankings]:
    """The best k of the items that training has seen, and the best k of the new ones, each by catalogue rows.

    Args:
        queries: `[queries, d] float32`.
        items: `[num_items, d] float32`.
        is_new: `[num_items]`, neither all nor none of them.
        k: items to return for each query.
        seen: as of `rank_by_inner_product`.
        added: as of `rank_by_inner_product`.
    """
    known, new = (_ranked_among(np.flatnonzero(kept), queries, items, k, seen, added) for kept in (~is_new, is_new))
    return known, new


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


def bearable_shift(known: Rankings, new: Rankings, targets: Ragged, scale: float, cutoff: int, *, cost: float) -> float:
    """The largest shift of new items' scores that keeps the NDCG within `cost` of the best of all shifts.

    It is negative where new items rank too high, and 0 where no shift finds any target.

    Args:
        known: Lists of the items that training has seen.
        new: Lists of the others, of the same queries.
        targets: Of these queries.
        scale: Score of one unit of the logits.
        cutoff: Of the NDCG.
        cost: Share of the NDCG that may be given up.

    Returns:
        What to add to the scores of new items.
    """
    quality = {shift: _ndcg(known, new, shift * scale, targets, cutoff) for shift in SHIFTS}
    if not any(quality.values()):
        return 0.0
    least = (1 - cost) * max(quality.values())
    return scale * max(shift for shift, value in quality.items() if value >= least)


def _ndcg(known: Rankings, new: Rankings, shift: float, targets: Ragged, cutoff: int) -> float:
    lists = merge(known, Rankings(new.item_rows, new.scores + np.float32(shift)), cutoff).item_rows
    return float(query_metrics(lists, targets, [cutoff])[f"ndcg@{cutoff}"].mean())
