"""Training examples of the two-tower model, one function per kind."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from features.schema import Schema
from trainer.config.retrieval import ExampleKind, RetrievalConfig
from trainer.data.batches import (
    BatchPlan,
    EpochPlan,
    Examples,
    basket_examples,
    baskets_of,
    batch_size_for,
    event_examples,
    no_examples,
    plan_batches,
    sequence_examples,
    set_examples,
)
from trainer.data.events import EncodedEvents
from trainer.data.packing import pack, row_width, stretches
from trainer.data.stored_events import StoredEvents
from trainer.training.stage import StageContext
from trainer.training.streaming import plan_packed_stream, plan_stream


def make_examples(events: EncodedEvents | StoredEvents, config: RetrievalConfig, context: StageContext) -> EpochPlan:
    """Makes the examples that the configuration names from the events of the training split.

    Raises:
        InputError: there are none.
    """
    if isinstance(events, StoredEvents):
        return _streamed(events, config, context)
    half_life = config.half_life
    weighted = events.weighted_by_age(half_life) if half_life else events
    if config.examples == "sequence":
        return _sequences(weighted, config, context)
    examples = _MAKERS[config.examples](weighted, config, context.schema)
    return plan_batches(
        examples.indices,
        examples.gather(),
        batch_size=config.batch_size,
        replicas=context.cluster.num_replicas,
        seed=context.seed,
    )


def _streamed(stored: StoredEvents, config: RetrievalConfig, context: StageContext) -> EpochPlan:
    schema = context.schema
    if config.half_life:
        oldest, newest = stored.time_span(context.training.block_events)
        agreed = context.cluster.agree({"oldest": float(oldest), "newest": float(newest)})
        span = (int(agreed["oldest"]), int(agreed["newest"]))
        stored = replace(stored, change=lambda events: events.weighted_by_age(config.half_life, span))
    if config.examples == "sequence":
        assert schema.history is not None, "require_history"
        length = schema.history.length
        return plan_packed_stream(stored, length=length, batch_size=config.batch_size, context=context)
    make = _MAKERS[config.examples]
    return plan_stream(
        stored, lambda events: make(events, config, schema), batch_size=config.batch_size, context=context
    )


def _events(events: EncodedEvents, config: RetrievalConfig, schema: Schema) -> Examples:
    targets = events.targets()
    return Examples(
        indices=targets,
        records=events.record_of_event()[targets],
        gather=lambda: event_examples(events, schema, with_entries=config.repeat > 0),
    )


def _baskets(events: EncodedEvents, config: RetrievalConfig, schema: Schema) -> Examples:
    baskets = baskets_of(events)
    return Examples(
        indices=np.arange(len(baskets)),
        records=events.record_of_event()[baskets.targets[baskets.splits[:-1]]],
        gather=lambda: basket_examples(events, schema, baskets, with_entries=config.repeat > 0),
    )


def _sets(events: EncodedEvents, config: RetrievalConfig, schema: Schema) -> Examples:
    records = (events.record_splits[1:] > events.record_splits[:-1]).nonzero()[0]
    return Examples(indices=records, records=records, gather=lambda: set_examples(events, schema))


def _sequences(events: EncodedEvents, config: RetrievalConfig, context: StageContext) -> BatchPlan:
    """Packed rows; a batch holds about `batch_size` events."""
    assert context.schema.history is not None, "require_history"
    starts, sizes = stretches(events, context.schema.history.length)
    if len(starts) == 0:
        raise no_examples()
    width = row_width(sizes)
    num_rows = len(pack(starts, sizes, width, np.random.default_rng(0)))
    return BatchPlan(
        arrange=lambda generator: pack(starts, sizes, width, generator),
        num_examples=num_rows,
        gather=sequence_examples(events, context.schema),
        batch_size=batch_size_for(max(1, config.batch_size // width), num_rows, context.cluster.num_replicas),
        seed=context.seed,
    )


_Maker: TypeAlias = Callable[[EncodedEvents, RetrievalConfig, Schema], Examples]
_MAKERS: Mapping[ExampleKind, _Maker] = {"event": _events, "basket": _baskets, "set": _sets}
