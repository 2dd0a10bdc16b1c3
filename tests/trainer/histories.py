"""What an event's history is, by definition."""

import numpy as np

from trainer.data.events import EncodedEvents


def histories(events: EncodedEvents, indices: np.ndarray, length: int) -> np.ndarray:
    """The last items before each event, `[n, length]`: rows of the item embeddings, oldest first, 0 after the end."""
    end = events.history_end[indices]
    start = np.maximum(events.history_start[indices], end - length)
    positions = start[:, None] + np.arange(length)
    padded = np.append(events.history_items, np.int32(0))
    return padded[np.where(positions < end[:, None], positions, len(events.history_items))]
