"""Epochs over events on disk, a block of users in memory at a time.

An epoch puts the chunks of users in a new order and cuts the sequence of their examples into blocks. A block is read
while the one before is trained on, and its examples are put in a new order as a whole. So each example comes once an
epoch, and what step s sees depends on the seed and s alone, as with examples in memory.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import tensorflow as tf

from trainer.data.batches import Examples, Gather, Section, gathered, sequence_examples
from trainer.data.events import EncodedEvents, Int32, Int64
from trainer.data.packing import pack, stretches
from trainer.data.stored_events import StoredEvents

ExamplesOf: TypeAlias = Callable[[EncodedEvents], Examples]
"""Makes the examples of some events; those of several records are those of each, one after the other."""


class Block(NamedTuple):
    """The examples of some steps."""

    indices: Int64
    """`[steps, batch, ...] int64`: what `gather` is given; the batch is this worker's."""
    gather: Gather
    """From some of the indices to a batch."""


@dataclass(frozen=True, kw_only=True)
class StreamPlan(ABC):
    """Examples of this worker's events on disk."""

    stored: StoredEvents
    """This worker's events."""
    chunk_examples: Int64
    """`[chunks]`: examples of each chunk of the events, or stretches where these are packed."""
    num_examples: int
    """Of all workers."""
    steps_per_epoch: int
    """The same for all workers."""
    steps_per_block: int
    """Steps whose examples are in memory at once."""
    replicas: int
    """Equal parts of this worker's batch."""
    seed: tuple[int, int]
    """Seed of the orders, and the worker's number."""

    def sections(self, epoch: int, first_step: int) -> Iterator[Section]:
        """The blocks of an epoch from the one of `first_step` on, each read while the one before is trained on."""
        size = self.steps_per_block
        starts = list(range(first_step // size * size, self.steps_per_epoch, size))
        with ThreadPoolExecutor(1) as reader:
            pending = [reader.submit(self._read, epoch, start) for start in starts[:1]]
            for place, start in enumerate(starts):
                block = pending.pop().result()
                pending = [reader.submit(self._read, epoch, following) for following in starts[place + 1 : place + 2]]
                yield partial(self._batches, block, max(0, first_step - start))

    @abstractmethod
    def block(self, epoch: int, start: int, steps: int) -> Block:
        """The examples of so many steps of an epoch from `start` on."""

    def _read(self, epoch: int, start: int) -> Block:
        return self.block(epoch, start, min(self.steps_per_block, self.steps_per_epoch - start))

    def _batches(self, block: Block, first: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
        rest = block.indices[first:]
        parts = rest.reshape(len(rest), self.replicas, rest.shape[1] // self.replicas, *rest.shape[2:])
        return gathered(parts, parts.shape[2], block.gather)

    def events_of(self, epoch: int, first: int, last: int) -> tuple[EncodedEvents, int]:
        """The events that the examples from `first` to before `last` of an epoch's order are made of.

        Chunks are read whole, those at the edges for two blocks each. Also returns how many examples of the events come
        before `first`.
        """
        order = np.random.default_rng((*self.seed, epoch)).permutation(len(self.chunk_examples))
        ends = np.cumsum(self.chunk_examples[order])
        begin, end = np.searchsorted(ends, (first, last - 1), side="right")
        before = first - int(ends[begin] - self.chunk_examples[order[begin]])
        return self.stored.read(order[begin : end + 1]), before

    def generator(self, epoch: int, start: int) -> np.random.Generator:
        """Of the order within the block that begins at a step."""
        return np.random.default_rng((*self.seed, epoch, start))


@dataclass(frozen=True, kw_only=True)
class ExampleStream(StreamPlan):
    """Batches of equally many examples; what is left of the last one is left out, another rest each epoch."""

    examples_of: ExamplesOf
    """Makes the examples of some events."""
    batch_size: int
    """Examples of this worker a step."""

    def block(self, epoch: int, start: int, steps: int) -> Block:
        """The examples of these steps, shuffled."""
        first, number = start * self.batch_size, steps * self.batch_size
        events, before = self.events_of(epoch, first, first + number)
        examples = self.examples_of(events)
        shuffled = self.generator(epoch, start).permutation(examples.indices[before : before + number])
        return Block(shuffled.reshape(steps, self.batch_size), examples.gather())


@dataclass(frozen=True, kw_only=True)
class PackedStream(StreamPlan):
    """Stretches of users' events packed into rows; a step has a row more or less, so that none is left out."""

    length: int
    """Items of a history, at most."""
    width: int
    """Places of a row."""

    def block(self, epoch: int, start: int, steps: int) -> Block:
        """The rows of the stretches that are these steps' share of the epoch's, in as many batches."""
        total = int(self.chunk_examples.sum())
        first, last = (total * step // self.steps_per_epoch for step in (start, start + steps))
        events, before = self.events_of(epoch, first, last)
        starts, sizes = (each[before : before + last - first] for each in stretches(events, self.length))
        rows = pack(starts, sizes, self.width, self.generator(epoch, start))
        if len(rows) < steps:  # of a few short stretches: each in a row of its own, of which there are enough
            alone = [slice(place, place + 1) for place in self.generator(epoch, start).permutation(len(starts))]
            rows = np.concatenate(
                [pack(starts[one], sizes[one], self.width, self.generator(epoch, start)) for one in alone]
            )
        batches = np.array_split(rows, steps)
        size = -(-len(batches[0]) // self.replicas) * self.replicas
        # The first batches may have a row more than the others, which get one of padding.
        padded = np.tile(np.array([0, -1], np.int64), (steps, size, self.width, 1))
        for place, batch in enumerate(batches):
            padded[place, : len(batch)] = batch
        return Block(padded, sequence_examples(events, self.stored.schema))


def count_examples(
    stored: StoredEvents, records_of: Callable[[EncodedEvents], Int32 | Int64], block_events: int
) -> Int64:
    """Examples of each chunk, `[chunks] int64`, counted a block at a time; `records_of` gives the record of each."""
    counts = np.zeros(stored.num_chunks, np.int64)
    for chunks in stored.blocks(block_events):
        records = records_of(stored.read(chunks)) + stored.chunks[chunks[:1]]
        counts += np.bincount(np.searchsorted(stored.chunks, records, side="right") - 1, minlength=len(counts))
    return counts
