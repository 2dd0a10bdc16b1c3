"""Shadow traffic: repeats calls on a second version and measures how well the answers agree."""

import logging
import random
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any

import numpy as np

from features.protocol.tensor_proto import decode
from serving.api.call import FinishedCall
from serving.api.predict import InferenceOptions, predict
from serving.config import ServerConfig
from serving.errors import Code, ServingError, from_exception
from serving.metrics import Counter, Histogram, Metrics
from serving.models.store import ModelStore

logger = logging.getLogger(__name__)

_MAX_WAITING = 100
_TIMEOUT_SECONDS = 30.0
_ITEMS = "item_ids"
_TENTHS = tuple(tenth / 10 for tenth in range(11))


class Shadow:
    """An observer that repeats a sample of the Predict calls on the version that carries a label.

    Metrics: `/recstack/serving/shadow_count{model_name, outcome}` with the outcomes same, different, failed and dropped
    (the queue was full), and `/recstack/serving/shadow_overlap{model_name}` for models with `item_ids`: the share of
    the answered items that the shadow version returned too.
    """

    def __init__(self, config: ServerConfig, store: ModelStore, metrics: Metrics) -> None:
        self._label = config.shadow_label
        self._rate = config.shadow_sampling_rate
        self._store = store
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._room = BoundedSemaphore(_MAX_WAITING)
        self.count = Counter(
            "/recstack/serving/shadow_count", "Calls repeated on the shadow version.", ["model_name", "outcome"]
        )
        self.overlap = Histogram(
            "/recstack/serving/shadow_overlap",
            "Share of the answered items that the shadow version returned too.",
            ["model_name"],
            _TENTHS,
        )
        metrics.add_family(self.count)
        metrics.add_family(self.overlap)

    def __call__(self, finished: FinishedCall) -> None:
        """Queues a call to be repeated, if it is sampled."""
        if finished.code is not Code.OK or finished.rpc != "Predict" or random.random() >= self._rate:
            return
        if not self._room.acquire(blocking=False):
            self.count.add(finished.model, "dropped")
            return
        self._pool.submit(self._repeat, finished)

    def close(self) -> None:
        """Drops the queued calls."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _repeat(self, finished: FinishedCall) -> None:
        try:
            outcome = self._compared(finished)
        except Exception as error:
            outcome = "failed"
            logger.warning("shadow of %s: %s", finished.model, from_exception(error).message)
        finally:
            self._room.release()
        if outcome:
            self.count.add(finished.model, outcome)

    def _compared(self, finished: FinishedCall) -> str:
        try:
            lease = self._store.lease(finished.model, label=self._label)
        except ServingError:
            return ""  # this model has no shadow version
        with lease as servable:
            if servable.version == finished.response.model_spec.version.value:
                return ""
            repeated = predict(servable, finished.request, InferenceOptions(timeout=_TIMEOUT_SECONDS))
        theirs, ours = _arrays(finished.response), _arrays(repeated)
        if _ITEMS in theirs and _ITEMS in ours:
            self.overlap.add(finished.model, value=overlap(theirs[_ITEMS], ours[_ITEMS]))
        same = theirs.keys() == ours.keys() and all(_same(theirs[alias], ours[alias]) for alias in theirs)
        return "same" if same else "different"


def _arrays(response: Any) -> dict[str, Any]:
    return {alias: decode(proto) for alias, proto in response.outputs.items()}


def _same(one: Any, other: Any) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=1e-4, atol=1e-6, equal_nan=True))
    return bool(np.array_equal(one, other))


def overlap(answered: Any, repeated: Any) -> float:
    """Share of the answered items that `repeated` holds in the same row, both `[batch, k]`; 1 without any items."""
    rows = zip(answered.reshape(len(answered), -1), repeated.reshape(len(repeated), -1), strict=True)
    sets = [(set(one.tolist()) - {b""}, set(other.tolist())) for one, other in rows]
    total = sum(len(one) for one, _ in sets)
    return sum(len(one & other) for one, other in sets) / total if total else 1.0
