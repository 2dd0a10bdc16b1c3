"""Drops users and items below their minimum counts until all that remain reach them (k-core)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import CleaningConfig
from beam_pipelines.passes.sorted_events import SortedEvents
from beam_pipelines.workspace import read_arrow, write_arrow
from features.schema import Schema


@dataclass(frozen=True)
class Core:
    """The dropped items; the dropped users follow from them."""

    items: pa.StringArray
    """Ids of the dropped items."""

    @classmethod
    def read(cls, path: Path) -> "Core":
        """Reads what `write` wrote; nothing is dropped if there is no file."""
        return cls(read_arrow(path).column("value").combine_chunks() if path.exists() else pa.array([], pa.string()))

    def write(self, path: Path) -> None:
        """Stores the items for the workers."""
        write_arrow(path, pa.table({"value": self.items}))


def outside_core(
    events: SortedEvents, counted: npt.NDArray[np.bool_], core: Core, *, schema: Schema, config: CleaningConfig
) -> npt.NDArray[np.bool_]:
    """The dropped events: those of dropped items, and those of users with too few others.

    Args:
        events: `n` events.
        counted: `[n] bool` events that the minimums count; others are never dropped.
        core: the dropped items.
        schema: names of the columns.
        config: the minimums.
    """
    ids = events.table.column(schema.item_id).combine_chunks()
    dropped = pc.is_in(ids.dictionary, core.items).to_numpy(zero_copy_only=False)
    rare = counted & dropped[ids.indices.to_numpy()]
    remaining = np.bincount(events.user_index[counted & ~rare], minlength=events.users.num_rows)
    return np.asarray(rare | (counted & (remaining < config.min_user_events)[events.user_index]))
