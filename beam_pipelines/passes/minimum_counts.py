"""The passes that find items and users with too few events."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.engine import Engine, run_pass
from beam_pipelines.passes.k_core import Core
from beam_pipelines.passes.partitions import PartitionJob, before_core, core_masks
from beam_pipelines.workspace import read_arrow, write_arrow


@dataclass(frozen=True, kw_only=True)
class CoreReport:
    """Report of one counting pass over a partition."""

    events: int
    """Events dropped so far."""


def find_core(partitions: Sequence[int], job: PartitionJob, engine: Engine) -> int:
    """Drops items and users in turn until all that remain reach their minimum.

    A user lies in one partition, so a worker finds users with too few events itself; items need one pass per round.

    Returns:
        Number of dropped events.
    """
    Core(pa.array([], pa.string())).write(job.workspace.core)
    while True:
        reports = run_pass("count", partial(count_items, job=job), partitions, report=CoreReport, engine=engine)
        counts = pa.concat_tables([read_arrow(job.workspace.core_counts(number)) for number in partitions])
        sums = counts.group_by("value").aggregate([("events", "sum")]).sort_by("value")
        rare = sums.filter(pc.less(sums.column("events_sum"), job.config.cleaning.min_item_events))
        if rare.num_rows == 0:
            return sum(report.events for report in reports)
        dropped = Core.read(job.workspace.core).items
        Core(pa.concat_arrays([dropped, rare.column("value").combine_chunks()])).write(job.workspace.core)


def count_items(partition: int, *, job: PartitionJob) -> CoreReport:
    """Counts the remaining events of each item."""
    found = before_core(partition, job)
    counted, outside = core_masks(found, job)
    ids = found.events.table.column(job.schema.item_id).combine_chunks()
    counts = np.bincount(ids.indices.to_numpy()[counted & ~outside], minlength=len(ids.dictionary))
    table = pa.table({"value": ids.dictionary, "events": pa.array(counts)})
    # Items without remaining events are dropped already, or are not counted at all.
    write_arrow(job.workspace.core_counts(partition), table.filter(pa.array(counts > 0)))
    return CoreReport(events=int(outside.sum()))
