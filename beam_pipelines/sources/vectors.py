"""Columns of precomputed vectors: lists of numbers, or texts that contain numbers."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_BRACKETS = " \t[](){}"
_BETWEEN = r"[\s,;|]+"

Refused = dict[str, pa.BooleanArray]


def parse_vectors(texts: pa.StringArray) -> pa.ListArray:
    """Parses numbers separated by blanks, commas, semicolons or bars, with or without brackets: `0.1 -2`, `[0.1, -2]`.

    Args:
        texts: `[rows]`, "" if missing.

    Returns:
        `[rows]` lists of float64; NaN for entries that are no numbers, empty if missing.
    """
    parts = pc.split_pattern_regex(pc.utf8_trim(texts, _BRACKETS), _BETWEEN)
    words = parts.flatten()
    numbers = pc.cast(pc.if_else(pc.match_substring_regex(words, _NUMBER), words, "nan"), pa.float64())
    empty = pc.and_(pc.equal(pc.list_value_length(parts), 1), pc.equal(pc.list_element(parts, 0), ""))
    return _lists(numbers, np.diff(parts.offsets.to_numpy()), empty.to_numpy(zero_copy_only=False))


def to_vectors(source: pa.Array, length: int) -> tuple[pa.ListArray, Refused]:
    """Converts lists of numbers to float32.

    Args:
        source: `[rows]` lists; null or empty if missing.
        length: required number of components.

    Returns:
        `[rows]` lists of float32, empty if missing, and a mask of the rejected rows for each reason.

    Raises:
        NotImplementedError: the column does not hold lists of numbers.
    """
    if not is_list(source.type) or pa.types.is_nested(source.type.value_type):
        raise NotImplementedError
    lengths = pc.list_value_length(source).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    numbers = pc.cast(source.flatten(), pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused
        numbers = numbers.astype(np.float32)
    owners = np.repeat(np.arange(len(source)), lengths)
    not_finite = np.bincount(owners[~np.isfinite(numbers)], minlength=len(source)) > 0
    refused = {
        f"has not the {length} components of its feature": pa.array((lengths != length) & (lengths > 0)),
        "holds what is no finite number": pa.array(not_finite),
    }
    return _lists(pa.array(numbers), lengths, np.zeros(len(source), bool)), refused


def is_list(kind: pa.DataType) -> bool:
    """Whether the type is a list, of variable or fixed length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lists(values: pa.Array, lengths: npt.NDArray[np.int64], empty: npt.NDArray[np.bool_]) -> pa.ListArray:
    """Divides `values` into lists of the given lengths, and empties the marked ones."""
    kept = values.filter(pa.array(np.repeat(~empty, lengths)))
    offsets = np.concatenate([[0], np.cumsum(np.where(empty, 0, lengths))])
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), kept)
