"""One call, whichever door it came through, and what is known of it once it is answered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from serving.errors import Code

Door = Literal["GRPC", "REST"]


@dataclass(frozen=True, slots=True)
class Call:
    """Where a request comes from and how long it may take."""

    door: Door
    timeout: float | None
    """Seconds left; None for no limit."""
    peer: Callable[[], str] = str
    """Address of the client, as text; asked for only where something needs it."""
    key: Callable[[], str] = str
    """API key the request carries; empty for none."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A call that was answered."""

    api: str
    """Predict, Classify, Regress or MultiInference."""
    call: Call
    model: str
    code: Code
    message: str
    seconds: float
    request: Any
    response: Any
    """None where the call failed."""


Observer = Callable[[Finished], None]
"""Told of every inference call, on the thread that answered it: it must be quick and must not raise."""
