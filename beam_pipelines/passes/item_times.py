"""Number of interactions with an item before a moment, over all users: its popularity as of an example's time."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.passes.partitions import Partition
from beam_pipelines.passes.sorted_events import ranked
from beam_pipelines.workspace import Workspace, read_arrow, write_arrow
from features.schema import Schema

# A time needs 32 bits: times end before 2100.
_TIME_BITS = 32

_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ItemTimes:
    """The `n` positive interactions of all users, ordered by item and time."""

    names: pa.StringArray
    """Items, in code point order."""
    keys: _Integers
    """`[n]`, ascending: index of the item in `names` times 2^32, plus seconds since 1970-01-01 UTC."""
    splits: npt.NDArray[np.int8]
    """`[n]` positions in `features.disk.layout.SPLITS`."""

    @classmethod
    def read(cls, workspace: Workspace) -> "ItemTimes":
        """Reads what `write_item_times` wrote."""
        table = read_arrow(workspace.item_times)
        names = read_arrow(workspace.item_names).column("value").combine_chunks()
        return cls(names, table.column("key").to_numpy(), table.column("split").to_numpy())

    def before(self, items: pa.DictionaryArray, times: _Integers, place: int) -> _Integers:
        """Counts interactions strictly before a moment, in splits up to one: training must not see later splits.

        Args:
            items: `[m]` ids.
            times: `[m] int64` seconds.
            place: index of the split in `features.disk.layout.SPLITS`.

        Returns:
            `[m] int64`.
        """
        keys = self.keys[self.splits <= place]
        codes = pc.index_in(items.dictionary, self.names).fill_null(-1).to_numpy().astype(np.int64)
        first = codes[items.indices.to_numpy()] << _TIME_BITS
        counts = np.searchsorted(keys, first + times) - np.searchsorted(keys, first)
        return np.where(first >= 0, counts, 0)

    def totals(self, items: pa.StringArray) -> pa.Int64Array:
        """`[m]` number of all interactions of each item."""
        counts = np.bincount(self.keys >> _TIME_BITS, minlength=len(self.names))
        found = pc.index_in(items, self.names)
        return pa.array(counts.astype(np.int64)).take(found).fill_null(0)


def partition_item_times(found: Partition, schema: Schema) -> pa.Table:
    """Item, time and split of the positive interactions of a partition."""
    positive = pa.array(found.labels.positive)
    items = found.events.table.column(schema.item_id).combine_chunks().filter(positive).cast(pa.string())
    times = found.events.table.column(schema.timestamp).filter(positive)
    return pa.table({"item": items, "time": times, "split": pa.array(found.split).filter(positive)})


def write_item_times(workspace: Workspace, partitions: Iterable[int]) -> None:
    """Merges the partitions' interactions for the workers of the last pass."""
    table = pa.concat_tables([read_arrow(workspace.item_times_of(number)) for number in partitions])
    codes, names = ranked(table.column("item"))
    keys = (codes << _TIME_BITS) + table.column("time").to_numpy()
    order = np.argsort(keys, kind="stable")
    splits = table.column("split").to_numpy()
    write_arrow(workspace.item_names, pa.table({"value": names}))
    write_arrow(workspace.item_times, pa.table({"key": keys[order], "split": splits[order]}))
