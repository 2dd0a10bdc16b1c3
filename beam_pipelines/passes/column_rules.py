"""Applies the rule for missing values and outliers of a column."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import ColumnRule
from beam_pipelines.sources.tables import Column

Refused = dict[str, pa.BooleanArray]


def apply_rule(values: pa.Array, column: Column) -> tuple[pa.Array, Refused]:
    """Fills, clips or rejects values.

    Args:
        values: `[rows]` of a validated type; missing is "", NaN or an empty list.
        column: The column and its rule.

    Returns:
        The values, and a mask of the rejected rows for each reason.
    """
    refused: Refused = {}
    if column.rule.is_bounded:
        values, refused = _bounded(values, column.rule)
    if column.rule.missing == "keep":
        return values, refused
    missing = _is_missing(values)
    if column.rule.missing == "reject":
        return values, refused | {"is missing": missing}
    return pc.if_else(missing, _filling(values.type, column.rule.fill), values), refused


def _bounded(values: pa.FloatArray, rule: ColumnRule) -> tuple[pa.FloatArray, Refused]:
    low = -np.inf if rule.minimum is None else rule.minimum
    high = np.inf if rule.maximum is None else rule.maximum
    numbers = values.to_numpy(zero_copy_only=False)
    outside = (numbers < low) | (numbers > high)
    if rule.outside == "reject":
        return values, {f"is not between {low:g} and {high:g}": pa.array(outside)}
    kept = np.clip(numbers, low, high) if rule.outside == "clip" else np.where(outside, np.nan, numbers)
    return pa.array(kept.astype(np.float32)), {}


def _is_missing(values: pa.Array) -> pa.BooleanArray:
    if pa.types.is_floating(values.type):
        return pc.is_nan(values)
    if pa.types.is_list(values.type):
        return pc.equal(pc.list_value_length(values), 0)
    return pc.equal(values, "")


def _filling(kind: pa.DataType, text: str) -> pa.Scalar:
    if pa.types.is_floating(kind):
        return pa.scalar(float(text), kind)
    return pa.scalar([text] if pa.types.is_list(kind) else text, kind)
