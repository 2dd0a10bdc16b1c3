"""Item attributes inside the graph, and the filters over them.

Filters arrive as plain string and float tensors, so that they can be optional inputs of a signature; what is empty
filters nothing. For a categorical attribute `genres` and a numeric attribute `year`:

    genres_any_of   [batch, v] string   items that have one of these values; `""` pads, a query of only `""` is open
    genres_none_of  [batch, v] string   items that have none of these values
    year_min        [batch] float32     items of at least this value; NaN or -inf is open
    year_max        [batch] float32     items of at most this value; NaN or inf is open
    allow_item_ids  [batch, a] string   only these items

All given filters must hold. A first axis of 1 stands for the whole batch. A value no item has matches nothing. An item
without a value passes `none_of`, and fails `any_of` and every bound that is given.

Shapes: B queries, C candidate rows, V values of a filter.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.errors import InputError
from trainer.index.item_ids import StringLookup
from trainer.index.vectors import Read

Filters: TypeAlias = Mapping[str, tf.Tensor]
"""Filter tensors by input name, as a signature receives them; names may be left out."""

NO_VALUE = -1
"""Code of an item's missing value."""
PADDING = -2
"""Code of `""` in a filter."""
UNKNOWN = -3
"""Code of a filter's value that no item has."""

ALLOW_INPUT = "allow_item_ids"


@dataclass(frozen=True, kw_only=True)
class ItemAttributes:
    """What is known about each item, in the order of the index's rows."""

    categorical: Mapping[str, Sequence[Sequence[bytes]]] = field(default_factory=dict)
    """The values of each item, any number of them; `""` counts as no value."""

    numeric: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """The value of each item, `[num_items] float32`; NaN where there is none. float32 holds whole numbers exactly up
    to 16,777,216, so Unix seconds are rounded to about two minutes."""


class AttributeFilter(tf.Module):
    """One filter over one attribute."""

    @abstractmethod
    def specs(self) -> dict[str, tf.TensorSpec]:
        """Returns the filter's inputs, with batch dimension None."""

    @abstractmethod
    def is_given(self, filters: Filters) -> tf.Tensor:
        """Returns `[] bool`: does any query filter by this attribute?"""

    @abstractmethod
    def encode(self, filters: Filters, num_queries: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the inputs as numbers with first axis `num_queries`; inputs left out are open."""

    @abstractmethod
    def admits(self, read: Read, encoded: Filters) -> tf.Tensor:
        """Returns `[B, C] bool`: which of the rows that `read` reads pass."""


class CategoricalFilter(AttributeFilter):
    """Any-of and none-of over an attribute with any number of values an item."""

    def __init__(self, name: str, values: Sequence[Sequence[bytes]]) -> None:
        """Numbers the values and lays them out in as many columns as the item with most values needs."""
        super().__init__(name=None)
        self._any_of, self._none_of = f"{name}_any_of", f"{name}_none_of"
        values = [sorted({value for value in row if value}) for row in values]
        distinct = sorted({value for row in values for value in row})
        self._lookup = StringLookup(distinct)
        numbers = {value: number for number, value in enumerate(distinct)}
        codes = np.full([max(map(len, values), default=0), len(values)], NO_VALUE, _smallest_int(len(distinct)))
        for row, row_values in enumerate(values):
            codes[: len(row_values), row] = [numbers[value] for value in row_values]
        # One variable a column: comparing whole columns is several times faster than comparing short rows.
        self._columns = [tf.Variable(column, trainable=False, name="codes") for column in codes]

    def specs(self) -> dict[str, tf.TensorSpec]:
        """See `AttributeFilter.specs`."""
        return {name: tf.TensorSpec([None, None], tf.string, name) for name in (self._any_of, self._none_of)}

    def is_given(self, filters: Filters) -> tf.Tensor:
        """See `AttributeFilter.is_given`."""
        return tf.reduce_any([is_any_string(filters.get(name)) for name in self.specs()])

    def encode(self, filters: Filters, num_queries: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `AttributeFilter.encode`."""
        return {name: encode_strings(self._lookup, filters.get(name), num_queries) for name in self.specs()}

    def admits(self, read: Read, encoded: Filters) -> tf.Tensor:
        """See `AttributeFilter.admits`."""
        any_of, none_of = encoded[self._any_of], encoded[self._none_of]
        is_open = tf.reduce_all(any_of == PADDING, axis=1, keepdims=True)
        has_any, has_none = is_open, tf.ones_like(is_open)
        for column in self._columns:
            codes = read(column)[:, tf.newaxis]
            has_any |= tf.reduce_any(codes == tf.cast(any_of, codes.dtype)[..., tf.newaxis], axis=1)
            has_none &= ~tf.reduce_any(codes == tf.cast(none_of, codes.dtype)[..., tf.newaxis], axis=1)
        return has_any & has_none


class NumericFilter(AttributeFilter):
    """A closed range over an attribute with one number an item."""

    def __init__(self, name: str, values: npt.NDArray[np.float32]) -> None:
        """Stores the column."""
        super().__init__(name=None)
        self._min, self._max = f"{name}_min", f"{name}_max"
        self._column = tf.Variable(np.asarray(values, np.float32), trainable=False, name="numbers")

    def specs(self) -> dict[str, tf.TensorSpec]:
        """See `AttributeFilter.specs`."""
        return {name: tf.TensorSpec([None], tf.float32, name) for name in (self._min, self._max)}

    def is_given(self, filters: Filters) -> tf.Tensor:
        """See `AttributeFilter.is_given`."""
        low, high = self._bounds(filters)
        return ~(tf.reduce_all(_is_open(low, -1)) & tf.reduce_all(_is_open(high, 1)))

    def encode(self, filters: Filters, num_queries: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `AttributeFilter.encode`."""
        bounds = zip(self.specs(), self._bounds(filters), strict=True)
        return {name: tf.broadcast_to(bound, [num_queries]) for name, bound in bounds}

    def admits(self, read: Read, encoded: Filters) -> tf.Tensor:
        """See `AttributeFilter.admits`."""
        values = read(self._column)
        low, high = encoded[self._min][:, tf.newaxis], encoded[self._max][:, tf.newaxis]
        return ((values >= low) | _is_open(low, -1)) & ((values <= high) | _is_open(high, 1))

    def _bounds(self, filters: Filters) -> list[tf.Tensor]:
        return [filters.get(name, tf.constant([np.nan], tf.float32)) for name in (self._min, self._max)]


def attribute_filters(attributes: ItemAttributes, num_items: int) -> list[AttributeFilter]:
    """Returns a filter for each attribute.

    Raises:
        InputError: an attribute has not one entry an item, or two attributes share a name.
    """
    for name, values in [*attributes.categorical.items(), *attributes.numeric.items()]:
        if len(values) != num_items:
            raise InputError(f"item attribute {name!r} has {len(values)} entries: expected one for each of {num_items}")
    if twice := set(attributes.categorical) & set(attributes.numeric):
        raise InputError(f"item attributes {sorted(twice)} are both categorical and numeric: expected one kind each")
    return [
        *(CategoricalFilter(name, values) for name, values in attributes.categorical.items()),
        *(NumericFilter(name, values) for name, values in attributes.numeric.items()),
    ]


def encode_strings(lookup: StringLookup, values: tf.Tensor | None, num_queries: tf.Tensor) -> tf.Tensor:
    """Returns `[num_queries, v] int32`: the numbers of `[1 or num_queries, v]` strings, PADDING or UNKNOWN."""
    if values is None:
        return tf.fill([num_queries, 0], PADDING)
    numbers = lookup.numbers(values)
    numbers = tf.where(values == "", PADDING, tf.where(numbers < 0, UNKNOWN, numbers))
    return tf.broadcast_to(numbers, [num_queries, tf.shape(values)[1]])


def is_any_string(values: tf.Tensor | None) -> tf.Tensor:
    """Returns `[] bool`: does `[1 or num_queries, v]` hold a string that is not empty?"""
    return tf.constant(False) if values is None else tf.reduce_any(values != "")


def _is_open(bound: tf.Tensor, sign: int) -> tf.Tensor:
    # Not written as "not below infinity": TensorFlow's graph optimiser turns a negated comparison into the opposite
    # one, which is false for NaN.
    return tf.math.is_nan(bound) | (bound == sign * float("inf"))


def _smallest_int(num_values: int) -> npt.DTypeLike:
    return next(dtype for dtype in (np.int8, np.int16, np.int32) if num_values <= np.iinfo(dtype).max)
