"""Errors: one exception with a canonical status code, mapped to gRPC and HTTP.

    >>> raise ServingError(Code.NOT_FOUND, "Servable not found for request: Latest(retrieval)")
    Traceback (most recent call last):
    serving.errors.ServingError: Servable not found for request: Latest(retrieval)

The codes are absl's canonical ones, which have the same numbers as gRPC's.
"""

from enum import IntEnum

MAX_MESSAGE_CHARS = 1024


class Code(IntEnum):
    """Canonical status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_CODES: dict[object, "Code"] = {code.value: code for code in Code}

HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}
"""HTTP status by code; codes that are not listed are 500."""


class ServingError(Exception):
    """A request or a load that fails with a status."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def short_message(self) -> str:
        """The message as sent over gRPC, truncated like TensorFlow Serving's."""
        if len(self.message) <= MAX_MESSAGE_CHARS:
            return self.message
        return self.message[:MAX_MESSAGE_CHARS] + "...TRUNCATED"


def invalid_argument(message: str) -> ServingError:
    """An error for a request that is malformed or does not fit the model."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """An error for a model, version or file that does not exist."""
    return ServingError(Code.NOT_FOUND, message)


def from_exception(error: BaseException) -> ServingError:
    """Converts any exception; those of TensorFlow carry a status code."""
    if isinstance(error, ServingError):
        return error
    code = getattr(error, "error_code", None)
    if code in _CODES:
        return ServingError(_CODES[code], getattr(error, "message", None) or str(error))
    if isinstance(error, MemoryError):
        return ServingError(Code.RESOURCE_EXHAUSTED, "out of memory")
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}")
