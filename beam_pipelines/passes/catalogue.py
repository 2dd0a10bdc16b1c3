"""The catalogue: items of the items table and of the interactions, with statistics from training events."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.passes.moments import Moments, numeric_statistics
from beam_pipelines.passes.rejects import Chunk
from beam_pipelines.passes.sorted_events import gather, join_features, last_of_each
from features.disk.layout import DatasetLayout
from features.disk.shards import shard_name
from features.encoding.statistics import NumericStatistics
from features.encoding.vocabulary import Vocabulary
from features.records.contents import ITEM_EVENTS, TRAIN_FREQUENCY
from features.records.write import write_shard
from features.schema import Schema

_ITEMS_PER_SHARD = 200_000
_ITEMS_PER_BATCH = 50_000


@dataclass(frozen=True)
class Catalogue:
    """`m` items, in code point order of their ids."""

    table: pa.Table
    """`[m]` item ids and candidate features."""
    events: pa.Int64Array
    """`[m]` training events of each item."""
    positives: pa.Int64Array
    """`[m]` positive training interactions of each item."""
    duplicates: int
    """Rows of the items table that a later row with the same id replaces."""
    item_events: pa.Int64Array | None = None
    """`[m]` positive interactions of all splits; None if the schema does not use them."""


def build_catalogue(schema: Schema, chunks: Sequence[Chunk], seen: pa.Table) -> Catalogue:
    """Joins the items table with the items of the interactions.

    Args:
        schema: candidate features.
        chunks: Chunks of the items table; empty if there is none.
        seen: item counts of the interactions of all splits, as `learning.merged_counts` returns them.
    """
    rows, duplicates = last_of_each(gather(chunks), schema.item_id) if chunks else (None, 0)
    ids = seen.column("value").combine_chunks()
    if rows is not None:
        ids = pa.concat_arrays([ids, rows.column(schema.item_id).combine_chunks()]).unique()
        ids = ids.take(pc.sort_indices(ids))
    place = pc.index_in(ids, seen.column("value").combine_chunks())
    events = seen.column("events").combine_chunks().take(place).fill_null(0)
    positives = seen.column("positives").combine_chunks().take(place).fill_null(0)
    return Catalogue(join_features(ids, schema.item_id, rows), events, positives, duplicates)


def item_value_counts(schema: Schema, catalogue: Catalogue) -> dict[str, dict[str, int]]:
    """For each candidate feature with a vocabulary: how many items with training events have each value."""
    trained = catalogue.table.filter(pc.greater(catalogue.events, 0))
    counts = {}
    for feature in schema.candidate:
        if feature.vocabulary is not None and feature.name != schema.item_id:
            values = trained.column(feature.name).combine_chunks()
            pairs = (values.flatten() if feature.is_list else values).value_counts()
            counts[feature.name] = dict(
                zip(pairs.field("values").to_pylist(), pairs.field("counts").to_pylist(), strict=True)
            )
    return counts


def item_statistics(schema: Schema, catalogue: Catalogue) -> dict[str, NumericStatistics]:
    """Statistics of the numeric candidate features over the items with training events, each counted once."""
    trained = catalogue.table.filter(pc.greater(catalogue.events, 0))
    return {
        feature.name: numeric_statistics(
            [Moments.of(trained.column(feature.name).to_numpy())],
            feature.statistics.num_buckets,
        )
        for feature in schema.candidate
        if feature.statistics is not None
    }


def write_candidates(
    schema: Schema, catalogue: Catalogue, vocabulary: Vocabulary, dataset: DatasetLayout, compression_level: int
) -> int:
    """Writes one record per item: first those of the vocabulary, in its order, then the others by code point.

    Returns:
        Number of shards.
    """
    ids = catalogue.table.column(schema.item_id).combine_chunks()
    place = pc.index_in(ids, pa.array(vocabulary.tokens, pa.string())).fill_null(len(vocabulary.tokens)).to_numpy()
    order = np.argsort(place, kind="stable")
    table = catalogue.table.append_column(TRAIN_FREQUENCY, catalogue.positives)
    if catalogue.item_events is not None:
        table = table.append_column(ITEM_EVENTS, catalogue.item_events)
    table = table.take(pa.array(order))
    num_shards = max(1, -(-len(order) // _ITEMS_PER_SHARD))
    edges = np.linspace(0, len(order), num_shards + 1).astype(np.int64)
    for shard in range(num_shards):
        rows = table.slice(edges[shard], edges[shard + 1] - edges[shard])
        write_shard(dataset.candidates / shard_name(shard, num_shards), _batches(rows), compression_level)
    return num_shards


def _batches(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    yield from rows.combine_chunks().to_batches(_ITEMS_PER_BATCH)
