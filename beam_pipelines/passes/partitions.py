"""Loads a stored partition with its labels and splits, for the third and fourth pass."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from beam_pipelines.config import PipelineConfig
from beam_pipelines.passes.k_core import Core, outside_core
from beam_pipelines.passes.labels import Labels, label_events
from beam_pipelines.passes.sorted_events import SortedEvents, load_sorted_events
from beam_pipelines.passes.splits import TRAIN, TimeCuts, assign_splits, within_fold
from beam_pipelines.workspace import Workspace
from features.schema import Schema


@dataclass(frozen=True, kw_only=True)
class PartitionJob:
    """Inputs that all partitions share."""

    schema: Schema
    """Names and features."""
    config: PipelineConfig
    """Labels, cleaning, split, negatives, sizes."""
    cuts: TimeCuts
    """Boundaries of a global time split."""
    workspace: Workspace
    """Where the events are stored."""


@dataclass(frozen=True)
class Partition:
    """`n` events with their labels and splits."""

    events: SortedEvents
    """Ordered by user, time and item id."""
    labels: Labels
    """`[n]` each."""
    split: npt.NDArray[np.int8]
    """`[n]` indices into `features.disk.layout.SPLITS`."""


def load_partition(partition: int, job: PartitionJob) -> Partition:
    """Loads one partition without the events that its fold or the minimum counts drop."""
    found = before_core(partition, job)
    cleaning = job.config.cleaning
    if not cleaning.has_core:
        return found
    outside = core_masks(found, job)[1]
    kept = found.events.filter(~outside)
    if cleaning.core_of == "all":
        # Splits by user count events, so they come after the cleaning; a core of training events comes after the split.
        return Partition(kept, *_label_and_split(kept, job))
    return Partition(kept, label_events(kept.table, job.schema.task, job.config.label), found.split[~outside])


def before_core(partition: int, job: PartitionJob) -> Partition:
    """The partition before users and items with too few events are dropped."""
    events = load_sorted_events(job.workspace, partition)
    if job.config.split.fold > 0:
        positive = label_events(events.table, job.schema.task, job.config.label).positive
        times = events.numpy(job.schema.timestamp)
        events = events.filter(within_fold(events, positive, times, config=job.config.split, cuts=job.cuts))
    return Partition(events, *_label_and_split(events, job))


def core_masks(found: Partition, job: PartitionJob) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """`[n] bool` events that the minimum counts count, and those of them that are dropped so far."""
    cleaning = job.config.cleaning
    counted = found.split == TRAIN if cleaning.core_of == "training" else np.ones(len(found.split), bool)
    core = Core.read(job.workspace.core)
    return counted, outside_core(found.events, counted, core, schema=job.schema, config=cleaning)


def _label_and_split(events: SortedEvents, job: PartitionJob) -> tuple[Labels, npt.NDArray[np.int8]]:
    labels = label_events(events.table, job.schema.task, job.config.label)
    times = events.numpy(job.schema.timestamp)
    return labels, assign_splits(events, labels.positive, times, config=job.config.split, cuts=job.cuts)
