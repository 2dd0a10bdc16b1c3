"""How different the items of a list are: one value a query.

distance@k = mean over the pairs of the first k items of 1 - cos(i, j), the intra-list diversity of
             Ziegler et al., "Improving Recommendation Lists Through Topic Diversification", WWW 2005, Eq. 2,
             as a distance
values@k   = distinct values of an item feature among the first k items, such as genres
"""

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]


def intra_list_distance(vectors: Float, is_item: npt.NDArray[np.bool_]) -> Values:
    """Mean cosine distance of the pairs of each list.

    Args:
        vectors: `[queries, k, d]`, of any length; a vector of length 0 is at distance 1 from all others.
        is_item: `[queries, k] bool`, false where a list is short.

    Returns:
        `[queries] float64`, from 0 to 2; 0 for a list of fewer than two items.
    """
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit = is_item[..., None] * vectors.astype(np.float64) / np.where(lengths > 0, lengths, 1.0)
    # The sum over all pairs of cosines is the squared length of the sum of the vectors.
    cosines = np.square(unit.sum(axis=1)).sum(axis=-1) - np.square(unit).sum(axis=(1, 2))
    count = is_item.sum(axis=1)
    pairs = count * (count - 1)
    distance: Values = np.where(pairs > 0, 1.0 - cosines / np.maximum(pairs, 1), 0.0)
    return distance


def distinct_values(values: npt.NDArray[np.int32]) -> Values:
    """Counts the distinct values in each list.

    Args:
        values: `[queries, n] int32`: values of all items of a list, above 0; 0 is padding.

    Returns:
        `[queries] float64`.
    """
    ordered = np.sort(values, axis=1)
    is_new = np.diff(ordered, axis=1, prepend=0) > 0
    counts: Values = is_new.sum(axis=1).astype(np.float64)
    return counts
