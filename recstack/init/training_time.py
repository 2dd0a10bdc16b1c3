"""How long retrieval takes to train on sequences on this machine, and what encoder fits into the time.

An event passes 24 d² + 4 n d operations a layer, n being the length of its row and d the width, and 2 d for each item
that it is compared with; the backward pass takes twice as much as the forward pass.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

BUDGET_SECONDS = 1_800.0
"""What a proposed training may take."""
COMPARED_ITEMS = 10_000
"""Larger catalogues are compared with as many drawn items at most."""
# Of the operations that large products reach, the share that a whole training does: 78e12 operations took 1,819 s
# beside other work, where products reach 1.1e11 a second, and 21e12 took 443 s where they reach 1.0e11.
_SHARE_OF_PRODUCTS = 0.42
_SIZE, _TRIES = 1024, 5
_LEAST_EPOCHS, _LEAST_DIMENSION = 6, 64


@dataclass(frozen=True, kw_only=True)
class EncoderSize:
    """What decides how long a training takes."""

    layers: int
    """Blocks of the transformer."""
    dimension: int
    """Components of a vector."""
    epochs: int
    """Passes over the events."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A log to train on, and the machine that does it."""

    events: int
    """Of the log."""
    length: int
    """Items of a history, at most."""
    items: int
    """In the catalogue."""
    speed: float
    """Operations a second."""

    def seconds(self, size: EncoderSize) -> float:
        """The time of a training."""
        encoder = size.layers * (24 * size.dimension**2 + 4 * self.length * size.dimension)
        compared = 2 * size.dimension * min(self.items, COMPARED_ITEMS)
        return 3 * size.epochs * self.events * (encoder + compared) / self.speed

    def affordable(self, wanted: EncoderSize) -> EncoderSize:
        """The wanted size, or the next smaller one that fits into the budget; the smallest there is if none does.

        First there are fewer epochs, then one layer, then a narrower one.
        """
        sizes = [wanted, replace(wanted, layers=1), replace(wanted, layers=1, dimension=_LEAST_DIMENSION)]
        for size in sizes:
            epochs = int(size.epochs * min(1.0, BUDGET_SECONDS / self.seconds(size)))
            if epochs >= min(_LEAST_EPOCHS, wanted.epochs):
                return replace(size, epochs=epochs)
        return replace(sizes[-1], epochs=min(_LEAST_EPOCHS, wanted.epochs))

    def words(self, size: EncoderSize) -> str:
        """The time of a training, as a person would say it."""
        seconds = self.seconds(size)
        return "a minute or less" if seconds < 60 else f"about {seconds / 60:,.0f} minutes"


def machine_speed() -> float:
    """Operations of a training that this machine does in a second, from the fastest of a few float32 products.

    With one thread too: beside other work, several wait for each other.
    """
    factor = np.random.default_rng(0).normal(size=(_SIZE, _SIZE)).astype(np.float32)
    seconds = []
    for threads in (None, 1):
        with threadpool_limits(threads):
            for _ in range(_TRIES):
                started = time.perf_counter()
                factor @ factor
                seconds.append(time.perf_counter() - started)
    return _SHARE_OF_PRODUCTS * 2 * _SIZE**3 / min(seconds)
