"""Training examples of the two-tower model, one function per kind."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from trainer.config.retrieval import ExampleKind, RetrievalConfig
from trainer.data.batches import (
    BatchPlan,
    Gather,
    basket_examples,
    baskets_of,
    batch_size_for,
    event_examples,
    no_examples,
    plan_batches,
    sequence_examples,
    set_examples,
)
from trainer.data.events import EncodedEvents, Int64
from trainer.data.packing import pack, row_width, stretches
from trainer.training.stage import StageContext


def make_examples(events: EncodedEvents, config: RetrievalConfig, context: StageContext) -> BatchPlan:
    """Makes the examples that the configuration names from the events of the training split.

    Raises:
        InputError: there are none.
    """
    return _MAKERS[config.examples](events, config, context)


def _events(events: EncodedEvents, config: RetrievalConfig, context: StageContext) -> BatchPlan:
    gather = event_examples(events, context.schema, with_entries=config.repeat > 0)
    return _batches(events.targets(), gather, config, context)


def _baskets(events: EncodedEvents, config: RetrievalConfig, context: StageContext) -> BatchPlan:
    baskets = baskets_of(events)
    gather = basket_examples(events, context.schema, baskets, with_entries=config.repeat > 0)
    return _batches(np.arange(len(baskets)), gather, config, context)


def _sets(events: EncodedEvents, config: RetrievalConfig, context: StageContext) -> BatchPlan:
    records = (events.record_splits[1:] > events.record_splits[:-1]).nonzero()[0]
    return _batches(records, set_examples(events, context.schema), config, context)


def _batches(indices: Int64, gather: Gather, config: RetrievalConfig, context: StageContext) -> BatchPlan:
    replicas = context.cluster.num_replicas
    return plan_batches(indices, gather, batch_size=config.batch_size, replicas=replicas, seed=context.seed)


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


_Maker: TypeAlias = Callable[[EncodedEvents, RetrievalConfig, StageContext], BatchPlan]
_MAKERS: Mapping[ExampleKind, _Maker] = {
    "event": _events,
    "basket": _baskets,
    "sequence": _sequences,
    "set": _sets,
}
