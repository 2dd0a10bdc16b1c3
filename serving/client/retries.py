"""What a client asks and in what order, without saying how a call is made: the same for sync and async.

Each dialogue is a generator that yields calls, is sent their replies, and returns what the client's caller wants.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import grpc
from numpy.typing import ArrayLike, NDArray

from features.errors import RecstackError
from features.protocol.wire import GetModelMetadataResponse, GetModelStatusResponse, PredictResponse
from serving.client.messages import (
    Recommendation,
    SignatureSpec,
    VersionState,
    metadata_request,
    predict_request,
    read_metadata,
    read_outputs,
    read_recommendations,
    read_status,
    recommend_request,
    status_request,
)

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
REPLIES = {PREDICT: PredictResponse, METADATA: GetModelMetadataResponse, STATUS: GetModelStatusResponse}
_MAX_MESSAGE = 2**31 - 1
_T = TypeVar("_T")


class CallError(RecstackError):
    """A call that failed, with the server's status: `error.code` and `error.details`."""

    def __init__(self, code: grpc.StatusCode, details: str, address: str) -> None:
        super().__init__(f"{address}: {code.name}: {details}")
        self.code = code
        self.details = details


@dataclass(frozen=True, kw_only=True)
class Retries:
    """When a call is made again.

    Only UNAVAILABLE is (the server was not reached, or its queue is full), which is safe: predictions change nothing.
    gRPC waits between the tries, doubling up to `max_backoff_seconds`, with jitter, and never past the deadline.
    """

    attempts: int = 4
    """Tries altogether, 1 to 5; 1 means none is repeated."""
    initial_backoff_seconds: float = 0.05
    """Longest wait before the second try."""
    max_backoff_seconds: float = 1.0
    """Longest wait before any try."""

    def service_config(self) -> str:
        """The retry policy as gRPC takes it, in JSON."""
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
    """Large messages, and the retry policy."""
    return [
        ("grpc.max_send_message_length", _MAX_MESSAGE),
        ("grpc.max_receive_message_length", _MAX_MESSAGE),
        ("grpc.enable_retries", 1),
        # A lost connection is made anew within the calls' own tries: gRPC would wait a second before the first.
        ("grpc.initial_reconnect_backoff_ms", int(retries.initial_backoff_seconds * 1000)),
        ("grpc.max_reconnect_backoff_ms", int(retries.max_backoff_seconds * 1000)),
        ("grpc.service_config", retries.service_config()),
    ]


def calls_of(channel: Any) -> dict[str, Any]:
    """Method to what makes a call of it on a sync or async channel."""
    return {method: channel.unary_unary(method, serialize, reply.FromString) for method, reply in REPLIES.items()}


def serialize(request: Any) -> bytes:
    """A request's bytes."""
    data: bytes = request.SerializeToString()
    return data


class Ask(NamedTuple):
    """One call to make."""

    method: str
    request: Any


Dialogue: TypeAlias = Generator[Ask, Any, _T]


class Dialogues:
    """The dialogues of one client; remembers the signatures of the models it asked for."""

    def __init__(self, model: str) -> None:
        """Calls go to `model` unless they say otherwise."""
        self._model = model
        self._signatures: dict[str, dict[str, SignatureSpec]] = {}

    def predict(
        self, inputs: Mapping[str, ArrayLike], signature: str, model: str | None
    ) -> Dialogue[dict[str, NDArray[Any]]]:
        """See `RecommenderClient.predict`."""
        specs = None
        if any(not hasattr(values, "dtype") for values in inputs.values()):
            found = (yield from self.metadata(model)).get(signature)
            specs = None if found is None else found.inputs
        response = yield Ask(PREDICT, predict_request(model or self._model, signature, inputs, specs))
        return read_outputs(response)

    def recommend(
        self,
        query: Mapping[str, Sequence[object]],
        k: int,
        wanted: Mapping[str, object],
        model: str | None,
    ) -> Dialogue[list[list[Recommendation]]]:
        """See `RecommenderClient.recommend`; `wanted` are the `restrictions`."""
        signatures = yield from self.metadata(model)
        response = yield Ask(PREDICT, recommend_request(model or self._model, signatures, query, k, wanted))
        return read_recommendations(response, k)

    def status(self, model: str | None) -> Dialogue[list[VersionState]]:
        """See `RecommenderClient.status`."""
        return read_status((yield Ask(STATUS, status_request(model or self._model))))

    def metadata(self, model: str | None) -> Dialogue[dict[str, SignatureSpec]]:
        """See `RecommenderClient.metadata`."""
        name = model or self._model
        if name not in self._signatures:
            self._signatures[name] = read_metadata((yield Ask(METADATA, metadata_request(name))))
        return self._signatures[name]
