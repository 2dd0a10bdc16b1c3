"""Errors of calls, and when a failed call is repeated."""

import json
from dataclasses import dataclass
from typing import Any

import grpc

from features.errors import RecstackError

_MAX_MESSAGE = 2**31 - 1


class CallError(RecstackError):
    """A failed call, with the server's status in `code` and `details`."""

    def __init__(self, code: grpc.StatusCode, details: str, address: str) -> None:
        advice = "; is a server running there, such as `recstack serve`?" if "failed to connect" in details else ""
        super().__init__(f"{address}: {code.name}: {details}{advice}")
        self.code = code
        self.details = details


@dataclass(frozen=True, kw_only=True)
class Retries:
    """When a failed call is repeated.

    Only UNAVAILABLE is retried: the server was not reached, or its queue is full. That is safe, because predictions
    change nothing. gRPC waits between the attempts, doubling up to `max_backoff_seconds`, with jitter, and never past
    the deadline.
    """

    attempts: int = 4
    """Maximum number of attempts, 1 to 5; 1 disables retries."""
    initial_backoff_seconds: float = 0.05
    """Maximum wait before the second attempt."""
    max_backoff_seconds: float = 1.0
    """Maximum wait before any attempt."""

    def service_config(self) -> str:
        """The retry policy as JSON, in gRPC's form."""
        if self.attempts < 2:
            return json.dumps({})
        policy = {
            "maxAttempts": self.attempts,
            "initialBackoff": f"{self.initial_backoff_seconds}s",
            "maxBackoff": f"{self.max_backoff_seconds}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        return json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})


def channel_options(retries: Retries) -> list[tuple[str, Any]]:
    """Channel options for large messages and the retry policy."""
    return [
        ("grpc.max_send_message_length", _MAX_MESSAGE),
        ("grpc.max_receive_message_length", _MAX_MESSAGE),
        ("grpc.enable_retries", 1),
        # A lost connection is re-established between a call's attempts; gRPC's default waits a second first.
        ("grpc.initial_reconnect_backoff_ms", int(retries.initial_backoff_seconds * 1000)),
        ("grpc.max_reconnect_backoff_ms", int(retries.max_backoff_seconds * 1000)),
        ("grpc.service_config", retries.service_config()),
    ]
