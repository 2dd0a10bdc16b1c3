"""Admission: API keys, a rate limit per client, a limit on concurrent calls. All off by default."""

import hashlib
import threading
import time
from collections import OrderedDict
from pathlib import Path
from types import TracebackType

from features.errors import ConfigError
from serving.api.call import API_KEY_HEADER, Call
from serving.config import ServerConfig
from serving.errors import Code, ServingError

_MAX_CLIENTS = 10_000
"""Clients whose rate is tracked; beyond that the least recently seen are forgotten."""


class Admission:
    """Admits calls or raises: `with admission.enter(call): …`."""

    def __init__(self, config: ServerConfig) -> None:
        """Reads the API keys.

        Raises:
            ConfigError: The file of keys cannot be read or is empty.
        """
        self._keys = _read_keys(config.api_keys_file) if config.api_keys_file else None
        self._rate = config.max_requests_per_second_per_client
        self._free = config.max_concurrent_requests or None
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether every call is admitted without a check."""
        return self._keys is None and not self._rate and self._free is None

    def enter(self, call: Call) -> "_Admitted":
        """Admits one call until the context ends.

        Raises:
            ServingError: UNAUTHENTICATED without a known key, RESOURCE_EXHAUSTED beyond a limit.
        """
        if self._keys is not None and _digest(call.key()) not in self._keys:
            raise ServingError(Code.UNAUTHENTICATED, f"The request has no valid {API_KEY_HEADER}")
        with self._lock:
            if self._rate:
                self._take_token(call.key() if self._keys is not None else call.peer())
            if self._free is not None:
                if not self._free:
                    raise ServingError(Code.RESOURCE_EXHAUSTED, "The server is at its limit of concurrent requests")
                self._free -= 1
        return _Admitted(self)

    def _take_token(self, client: str) -> None:
        # A bucket holds one second's worth of calls, and at least one.
        now = time.monotonic()
        size = max(1.0, self._rate)
        tokens, seen = self._buckets.pop(client, (size, now))
        tokens = min(size, tokens + (now - seen) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            raise ServingError(
                Code.RESOURCE_EXHAUSTED, f"The client exceeds its limit of {self._rate:g} requests per second"
            )

    def leave(self) -> None:
        """Ends an admitted call."""
        if self._free is not None:
            with self._lock:
                self._free += 1


class _Admitted:
    __slots__ = ("_admission",)

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.leave()


def _digest(key: str) -> bytes:
    # Looking up a digest takes the same time however much of a guessed key is right.
    return hashlib.sha256(key.encode()).digest()


def _read_keys(path: str) -> frozenset[bytes]:
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise ConfigError("api_keys_file", path, f"a readable file: {error.strerror}") from None
    keys = frozenset(_digest(line) for line in lines if line and not line.startswith("#"))
    if not keys:
        raise ConfigError("api_keys_file", path, "at least one key, one per line")
    return keys
