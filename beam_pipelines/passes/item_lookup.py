"""Lookup tables for the last pass: the items that negatives are drawn from, and past interactions of items."""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.passes.catalogue import Catalogue
from beam_pipelines.passes.item_times import ItemTimes, write_item_times
from beam_pipelines.workspace import Workspace, write_arrow
from features.schema import Schema


def write_item_lookup(
    schema: Schema, seen: pa.Table, catalogue: Catalogue, workspace: Workspace, partitions: Sequence[int]
) -> Catalogue:
    """Writes the training items, and when each item was interacted with if the schema asks for it.

    Returns:
        The catalogue, with the number of interactions of each item if the schema uses it.
    """
    write_arrow(workspace.train_items, seen.filter(pc.greater(seen.column("events"), 0)))
    if not schema.item_events:
        return catalogue
    write_item_times(workspace, partitions)
    ids = catalogue.table.column(schema.item_id).combine_chunks()
    return replace(catalogue, item_events=ItemTimes.read(workspace).totals(ids))
