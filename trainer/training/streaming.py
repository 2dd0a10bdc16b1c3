"""How a training reads its events from disk, and how its steps are shared among workers."""

import numpy as np

from features.records.contents import RecordKind
from features.records.parse import shard_files
from trainer.data.batches import batch_size_for, no_examples
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import EncodedEvents, Int64, encoded_batches
from trainer.data.packing import row_width, stretches
from trainer.data.stored_events import StoredEvents, store_events
from trainer.data.streaming import ExamplesOf, ExampleStream, PackedStream, count_examples
from trainer.training.stage import StageContext


def open_events(context: StageContext, dataset: EncodedDataset, *, records: RecordKind) -> StoredEvents:
    """Encodes this worker's shards of the training split to disk, or finds them there, and opens them.

    Raises:
        InputError: A shard is missing or damaged, or there are fewer shards than workers.
    """
    assert context.events is not None, "only where the training is streamed"
    layout = context.dataset
    directory = layout.ranking("train") if records == "ranking" else layout.interactions("train")
    files = context.cluster.shards(shard_files(directory))
    rows = dataset.candidates.rows()
    batches = encoded_batches(directory, files, dataset.encoder, rows, records=records)
    return store_events(context.events, batches, context.schema)


def plan_stream(
    stored: StoredEvents, examples_of: ExamplesOf, *, batch_size: int, context: StageContext
) -> ExampleStream:
    """Epochs over stored events; every worker makes as many steps as the one with the fewest examples has batches.

    Args:
        stored: This worker's events.
        examples_of: Makes the examples of some of them.
        batch_size: Examples a step, over all workers, at most.
        context: Says who the workers are, and how many events all of them hold in memory at once.

    Raises:
        InputError: A worker has no examples.
    """
    cluster, block_events = context.cluster, context.training.block_events
    counts = count_examples(stored, lambda events: examples_of(events).records, _own_share(context))
    examples, events = cluster.of_all(float(counts.sum())), cluster.of_all(float(len(stored)))
    least = int(min(examples))
    if least == 0:
        raise no_examples()
    whole_batch = batch_size_for(batch_size, least * cluster.num_workers, cluster.num_replicas)
    own_batch = whole_batch // cluster.num_workers
    block_examples = block_events * sum(examples) / sum(events)
    return ExampleStream(
        stored=stored,
        chunk_examples=counts,
        num_examples=int(sum(examples)),
        steps_per_epoch=least // own_batch,
        steps_per_block=max(1, int(block_examples / whole_batch)),
        replicas=cluster.num_replicas // cluster.num_workers,
        seed=(context.seed, cluster.worker),
        examples_of=examples_of,
        batch_size=own_batch,
    )


def plan_packed_stream(stored: StoredEvents, *, length: int, batch_size: int, context: StageContext) -> PackedStream:
    """Epochs over the stored events of users whose histories are packed into rows.

    Args:
        stored: This worker's events.
        length: Items of a history, at most.
        batch_size: Events a step, over all workers, about.
        context: Says who the workers are, and how many events all of them hold in memory at once.

    Raises:
        InputError: A worker has no user with two events.
    """
    cluster, block_events = context.cluster, context.training.block_events
    sizes: list[Int64] = []

    def records_of(events: EncodedEvents) -> Int64:
        starts, of_events = stretches(events, length)
        sizes.append(of_events)
        return events.record_of_event()[starts].astype(np.int64)

    counts = count_examples(stored, records_of, _own_share(context))
    of_all = np.concatenate([*sizes, np.empty(0, np.int64)])
    least = min(cluster.of_all(float(len(of_all))))
    if least == 0:
        raise no_examples()
    width = int(max(cluster.of_all(float(row_width(of_all)))))
    num_rows = int(sum(cluster.of_all(float(of_all.sum()))) / width) + 1
    whole_batch = batch_size_for(max(1, batch_size // width), num_rows, cluster.num_replicas)
    return PackedStream(
        stored=stored,
        chunk_examples=counts,
        num_examples=num_rows,
        # As many stretches at least: a step without any would have no loss.
        steps_per_epoch=int(min(max(1, num_rows // whole_batch), least)),
        steps_per_block=max(1, block_events // (whole_batch * width)),
        replicas=cluster.num_replicas // cluster.num_workers,
        seed=(context.seed, cluster.worker),
        length=length,
        width=width,
    )


def _own_share(context: StageContext) -> int:
    """The events of a block that are this worker's."""
    return max(1, context.training.block_events // context.cluster.num_workers)
