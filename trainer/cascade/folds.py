"""A fold of the training events with the shape of the product's own split: earlier events, a gap, a later window.

The list ranker learns from what a retrieval model that was trained on the earlier events finds for the later ones, as
it is served: in front of events that the retrieval model has not seen.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.records.contents import RecordKind
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import EncodedEvents, Int64, history_ranges

FoldKind: TypeAlias = Literal["per_user_fraction", "leave_last_out", "global_time"]
Bool: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Earlier events to train retrieval and tables on, and a later window to learn ranking from."""

    earlier: EncodedEvents
    """The events before the gap."""
    known: EncodedEvents
    """The events before the window, those of the gap included."""
    window: EncodedEvents
    """All events up to the window's end; those before the window are context only."""


def fold_of(events: EncodedEvents, kind: FoldKind, *, gap: float, window: float, number: int = 0) -> Fold:
    """Cuts the training events.

    Args:
        events: Encoded events of the training split, sorted by user and time.
        kind: `per_user_fraction` cuts each user's events by number, `global_time` all events at the same moments, and
            `leave_last_out` takes each user's last moment for the window.
        gap: Share of the events between the earlier ones and the window; with `leave_last_out` none.
        window: Share of the events in the window; with `leave_last_out` it is one moment of each user.
        number: 0 puts the window at the end of the events, 1 before that of fold 0, and so on.
    """
    if kind == "leave_last_out":
        place, gap, window, end = -_moments_after(events).astype(np.float64), 0.0, 1.0, 1.0 - number
    else:
        place, end = _places_of_events(events, kind), 1.0 - number * window
    first = end - window
    is_window_or_before = place < end
    until_end = taken(events, is_window_or_before)
    in_window = place[is_window_or_before] >= first
    records = until_end.record_of_event()
    context = np.bincount(records[~in_window], minlength=until_end.num_records).astype(np.int64)
    return Fold(
        earlier=taken(events, place < first - gap),
        known=taken(events, place < first),
        window=replace(until_end, num_context=context),
    )


@dataclass(frozen=True, kw_only=True)
class FoldDataset(EncodedDataset):
    """A dataset whose catalogue has other indices of the items than its vocabulary."""

    def events(self, directory: Path, *, records: RecordKind) -> EncodedEvents:
        """The events of a split, with the catalogue's indices."""
        return self.renumbered(super().events(directory, records=records))

    def renumbered(self, events: EncodedEvents) -> EncodedEvents:
        """The events with the catalogue's indices; items that it does not hold keep theirs."""
        index, rows = self.candidates.features[self.encoder.schema.item_id].numpy(), events.candidate_row
        items = np.where(rows >= 0, index[np.maximum(rows, 0)], events.item_index).astype(np.int32)
        return replace(events, item_index=items, history_items=items[events.history_events])


def known_by(dataset: EncodedDataset, frequency: Int64) -> FoldDataset:
    """The dataset as it would be if its vocabulary came from a fold's earlier events.

    Items without any of them have no id of their own: they have the index of unknown ones, or the bucket of their id
    where there are several, as what comes after the training does.

    Args:
        dataset: Encoder and catalogue.
        frequency: `[items]`: how many of the earlier events each item has.
    """
    item_id = dataset.encoder.schema.item_id
    lookup = dataset.encoder.lookup(item_id)
    index = dataset.candidates.features[item_id].numpy()
    unknown = lookup.unknown(dataset.candidates.item_ids).numpy()
    is_forgotten = (frequency == 0) & (index >= lookup.vocabulary.first_token_index)
    ids = np.where(is_forgotten, unknown, index).astype(index.dtype)
    features = {**dataset.candidates.features, item_id: tf.constant(ids)}
    candidates = replace(dataset.candidates, features=features, train_frequency=frequency)
    return FoldDataset(encoder=dataset.encoder, candidates=candidates)


def _places_of_events(events: EncodedEvents, kind: FoldKind) -> npt.NDArray[np.float64]:
    """`[events]`: the share of the events, of the user or of all, that come before; events of one moment share it."""
    if kind == "global_time":
        before = np.searchsorted(np.sort(events.timestamp), events.timestamp, side="left")
        return np.asarray(before / max(len(events), 1), np.float64)
    lengths = np.diff(events.record_splits)
    before = _first_of_moment(events) - np.repeat(events.record_splits[:-1], lengths)
    return np.asarray(before / np.maximum(np.repeat(lengths, lengths), 1), np.float64)


def _moments_after(events: EncodedEvents) -> Int64:
    """`[events]`: how many later moments the event's user has."""
    moment = np.cumsum(_is_first_of_moment(events))
    last = moment[np.maximum(events.record_splits[1:] - 1, 0)] if len(events) else np.zeros(0, np.int64)
    after: Int64 = last[events.record_of_event()] - moment
    return after


def _first_of_moment(events: EncodedEvents) -> Int64:
    first: Int64 = np.maximum.accumulate(np.where(_is_first_of_moment(events), np.arange(len(events)), 0))
    return first


def _is_first_of_moment(events: EncodedEvents) -> Bool:
    """`[events]`: whether the event before is of another user or of another moment."""
    is_first = np.ones(len(events), bool)
    is_first[1:] = events.timestamp[1:] != events.timestamp[:-1]
    starts = events.record_splits[:-1]
    is_first[starts[starts < len(events)]] = True
    return is_first


def taken(events: EncodedEvents, keep: Bool) -> EncodedEvents:
    """The events for which `keep`, `[events] bool`, is true, as if the log held no others; every record stays."""
    before = np.concatenate([[0], np.cumsum(keep)])
    splits = before[events.record_splits].astype(np.int64)
    in_history = np.zeros(len(events), bool)
    in_history[events.history_events] = True
    kept_in_history = in_history[keep]
    timestamp = events.timestamp[keep]
    start, end = history_ranges(splits, timestamp, kept_in_history)
    first_target = events.record_splits[:-1] + events.num_context
    return EncodedEvents(
        record_splits=splits,
        num_context=(before[first_target] - splits[:-1]).astype(np.int64),
        user=events.user,
        context={name: values[keep] for name, values in events.context.items()},
        item_index=events.item_index[keep],
        candidate_row=events.candidate_row[keep],
        timestamp=timestamp,
        labels=events.labels[keep],
        weight=events.weight[keep],
        companions={name: values[keep] for name, values in events.companions.items()},
        item_events=events.item_events[keep],
        history_items=events.item_index[keep][kept_in_history],
        history_events=np.flatnonzero(kept_in_history),
        history_start=start,
        history_end=end,
    )
