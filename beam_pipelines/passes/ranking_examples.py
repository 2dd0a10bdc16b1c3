"""The events of ranking records: logged ones and, where the configuration asks for them, sampled negatives."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.passes.labels import Labels, sampled_labels
from beam_pipelines.passes.negatives import (
    CatalogueNegatives,
    ItemDistribution,
    SessionEvents,
    sample_in_session,
    sample_negatives,
)
from beam_pipelines.passes.partitions import PartitionJob
from beam_pipelines.passes.sorted_events import SortedEvents, ranked
from beam_pipelines.passes.user_history_features import begins_of, session_starts
from beam_pipelines.workspace import read_arrow


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Events as records hold them, logged and sampled; `[n]` each, by user, time and item id."""

    source: npt.NDArray[np.int64]
    """Row of the logged event that gives time and context."""
    items: pa.DictionaryArray
    """Item ids."""
    labels: Labels
    """What each teaches."""
    split: npt.NDArray[np.int8]
    """Positions in `features.disk.layout.SPLITS`."""
    probability: npt.NDArray[np.float32]
    """1 for a logged event, else that of the sampled negative."""
    item_events: npt.NDArray[np.int64] | None = None
    """Positive interactions with the item strictly before the event; none where the schema does not ask for them."""


def known_interactions(examples: Examples, place: int) -> npt.NDArray[np.int64]:
    """Events whose items are no negatives of their user: a later split must not be seen, not even by what is left out.

    Args:
        examples: logged events.
        place: position of the split in `features.disk.layout.SPLITS`.
    """
    return np.flatnonzero(examples.labels.positive & (examples.split <= place))


def with_negatives(
    logged: Examples, events: SortedEvents, place: int, *, job: PartitionJob, rng: np.random.Generator
) -> Examples:
    """The logged examples and the sampled negatives of one split's positive events, in order.

    Args:
        logged: examples of all splits.
        events: what they come from.
        place: position of the split in `features.disk.layout.SPLITS`.
        job: kind and number of negatives; where the training items are.
        rng: source of randomness.
    """
    if job.config.negatives_kind == "none":
        return logged
    positives = np.flatnonzero(logged.labels.positive & (logged.split == place))
    if job.config.negatives_kind == "in_session":
        sampled = _in_session(logged, events, positives, job=job, rng=rng)
    else:
        sampled = _from_distribution(logged, events, place, job=job, rng=rng)
    source = positives[sampled.positive]
    zeros = np.zeros(len(source), np.float32)
    names = pa.concat_arrays([logged.items.cast(pa.string()), sampled.items])
    ranks, distinct = ranked(pa.chunked_array([names]))
    all_sources = np.concatenate([logged.source, source])
    order = np.lexsort([ranks, events.numpy(job.schema.timestamp)[all_sources], events.user_index[all_sources]])
    labels = Labels(
        np.concatenate([logged.labels.values, sampled_labels(job.schema.task, len(source))])[order],
        np.concatenate([logged.labels.weight, zeros + 1])[order],
        np.concatenate([logged.labels.positive, zeros > 0])[order],
    )
    return Examples(
        source=all_sources[order],
        items=pa.DictionaryArray.from_arrays(pa.array(ranks[order].astype(np.int32)), distinct),
        labels=labels,
        split=logged.split[all_sources[order]],
        probability=np.concatenate([logged.probability, sampled.probability])[order],
    )


def _from_distribution(
    logged: Examples, events: SortedEvents, place: int, *, job: PartitionJob, rng: np.random.Generator
) -> CatalogueNegatives:
    """Items of the training events, uniformly or by popularity, that the user has nothing to do with."""
    positives = np.flatnonzero(logged.labels.positive & (logged.split == place))
    train_items = read_arrow(job.workspace.train_items)
    known = known_interactions(logged, place)
    names = train_items.column("value").combine_chunks()
    place_of_item = pc.index_in(logged.items.dictionary, names).fill_null(-1).to_numpy()
    return sample_negatives(
        events.user_index[positives],
        (events.user_index[known], place_of_item[logged.items.indices.to_numpy()[known]].astype(np.int64)),
        ItemDistribution.of(names, train_items.column("events").to_numpy(), job.config.negatives),
        per_positive=job.config.negatives.per_positive,
        rng=rng,
    )


def _in_session(
    logged: Examples,
    events: SortedEvents,
    positives: npt.NDArray[np.int64],
    *,
    job: PartitionJob,
    rng: np.random.Generator,
) -> CatalogueNegatives:
    """Items of the same session and split that the user did less with."""
    times = events.numpy(job.schema.timestamp)
    begins = session_starts(begins_of(events.starts[:-1], len(times)), times, job.config.session_gap_seconds)
    # A session that goes on in the next split is two: training must not see what comes then.
    begins[1:] |= np.diff(logged.split) != 0
    strength = np.where(logged.labels.positive, logged.labels.weight, 0.0)
    return sample_in_session(
        SessionEvents(np.cumsum(begins), logged.items, strength),
        positives,
        per_positive=job.config.negatives.per_positive,
        rng=rng,
    )
