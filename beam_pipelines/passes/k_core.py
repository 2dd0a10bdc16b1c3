"""Minimum counts of users and items, iterated until nothing more has to be left out (k-core)."""

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
    """Which items are left out; the users follow from them."""

    items: pa.StringArray
    """Ids of the items that are left out."""

    @classmethod
    def read(cls, path: Path) -> "Core":
        """Reads what `write` wrote; nothing is left out where there is no file."""
        return cls(read_arrow(path).column("value").combine_chunks() if path.exists() else pa.array([], pa.string()))

    def write(self, path: Path) -> None:
        """Tells the workers."""
        write_arrow(path, pa.table({"value": self.items}))


def outside_core(
    events: SortedEvents, counted: npt.NDArray[np.bool_], core: Core, *, schema: Schema, config: CleaningConfig
) -> npt.NDArray[np.bool_]:
    """Which of the counted events are left out: those of the items, and of users with too few others.

    Args:
        events: `n` events.
        counted: `[n] bool` events that the minimums are about; others are never left out.
        core: the items.
        schema: names of the columns.
        config: the minimums.
    """
    ids = events.table.column(schema.item_id).combine_chunks()
    dropped = pc.is_in(ids.dictionary, core.items).to_numpy(zero_copy_only=False)
    rare = counted & dropped[ids.indices.to_numpy()]
    remaining = np.bincount(events.user_index[counted & ~rare], minlength=events.users.num_rows)
    return np.asarray(rare | (counted & (remaining < config.min_user_events)[events.user_index]))
