"""A call to the server: where it comes from, how long it may take, and how it ended."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from serving.errors import Code

Entrypoint = Literal["GRPC", "REST"]

API_KEY_HEADER = "x-api-key"
"""HTTP header and gRPC metadata key of the API key."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request's context."""

    entrypoint: Entrypoint
    timeout: float | None
    """Seconds left; None for no limit."""
    peer: Callable[[], str] = str
    """Returns the client's address; evaluated only where it is needed."""
    key: Callable[[], str] = str
    """Returns the request's API key, or the empty string."""


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """An inference call and its outcome."""

    rpc: str
    """Predict, Classify, Regress or MultiInference."""
    call: Call
    model: str
    code: Code
    message: str
    seconds: float
    request: Any
    response: Any
    """None if the call failed."""


class Observer(Protocol):
    """Is told of every inference call, until it is closed."""

    def __call__(self, finished: FinishedCall) -> None:
        """Takes note of a call, on the thread that answered it: it must be fast and must not raise."""
        ...

    def close(self) -> None:
        """Ends the observer's threads and closes its files."""
        ...


Rpc = Callable[[Any, Call], Any]
"""Implements one RPC: takes the request message and its call, returns the response message, raises ServingError."""

Gate = Callable[[Call], AbstractContextManager[None]]
"""Admits a call for as long as the context is open, or raises ServingError."""
