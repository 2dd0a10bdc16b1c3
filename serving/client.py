"""A client of recstack's models over TensorFlow Serving's gRPC protocol, of any server that speaks it.

    with RecommenderClient("localhost:8500", model="retrieval") as client:
        for items in client.recommend({"user_id": ["42"]}, k=10, exclude=[["318"]]):
            print([(item.item_id, item.score) for item in items])

One client holds one connection and may be used from many threads. `serving.async_client` has the same with `await`.
Neither imports TensorFlow.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc
from numpy.typing import ArrayLike, NDArray

from features.errors import RecstackError
from serving.answers import (
    DEFAULT_SIGNATURE,
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
from serving.wire import GetModelMetadataResponse, GetModelStatusResponse, PredictResponse

PREDICT = "/tensorflow.serving.PredictionService/Predict"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
REPLIES = {PREDICT: PredictResponse, METADATA: GetModelMetadataResponse, STATUS: GetModelStatusResponse}
_MAX_MESSAGE = 2**31 - 1


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


class RecommenderClient:
    """A connection to one server."""

    def __init__(
        self,
        address: str,
        *,
        model: str = "retrieval",
        timeout_seconds: float = 5.0,
        retries: Retries | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Opens nothing yet: the connection is made by the first call.

        Args:
            address: `host:port` or `unix:path`.
            model: name of the model that calls go to unless they say otherwise.
            timeout_seconds: deadline of each call, tries and waits included.
            retries: when a call is made again.
            credentials: for TLS; None connects in plain text.
            metadata: sent with every call, such as `{"x-api-key": "…"}`.
        """
        options = channel_options(retries or Retries())
        self._channel = (
            grpc.insecure_channel(address, options=options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options=options)
        )
        self._address = address
        self._model = model
        self._timeout = timeout_seconds
        self._metadata = tuple((metadata or {}).items())
        self._signatures: dict[str, dict[str, SignatureSpec]] = {}
        self._calls = {
            method: self._channel.unary_unary(method, serialize, reply.FromString) for method, reply in REPLIES.items()
        }

    def predict(
        self,
        inputs: Mapping[str, ArrayLike],
        signature: str = DEFAULT_SIGNATURE,
        *,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Calls any signature.

        Args:
            inputs: alias to array or nested lists. Lists take the signature's types, which are asked for once; arrays
                are sent as they are.
            signature: the signature's name.
            model: instead of the client's.
            timeout_seconds: instead of the client's.

        Returns:
            Output alias to array; strings as an object array of bytes.

        Raises:
            CallError: the server answered with an error, or did not answer in time.
        """
        name = model or self._model
        specs = None
        if any(not hasattr(values, "dtype") for values in inputs.values()):
            found = self.metadata(name).get(signature)
            specs = None if found is None else found.inputs
        request = predict_request(name, signature, inputs, specs)
        return read_outputs(self._call(PREDICT, request, timeout_seconds))

    def recommend(
        self,
        query: Mapping[str, Sequence[object]],
        k: int = 10,
        *,
        exclude: Sequence[Sequence[str]] | None = None,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[list[Recommendation]]:
        """The best items for each query of a batch.

        Args:
            query: feature name to one raw value a query (a list a query, for histories). What is left out takes the
                model's default.
            k: items a query.
            exclude: item ids a query not to return; one list serves the whole batch.
            model: instead of the client's: `retrieval`, `retrieval_exact` or `recommender`.
            timeout_seconds: instead of the client's.

        Returns:
            One list a query, best first; shorter than `k` where the model has no more.

        Raises:
            CallError: the server answered with an error, or did not answer in time.
            InputError: the model has no such input.
        """
        name = model or self._model
        request = recommend_request(name, self.metadata(name), query, k, exclude)
        return read_recommendations(self._call(PREDICT, request, timeout_seconds), k)

    def status(self, model: str | None = None) -> list[VersionState]:
        """Every version of a model the server knows of, newest first."""
        return read_status(self._call(STATUS, status_request(model or self._model), None))

    def metadata(self, model: str | None = None) -> dict[str, SignatureSpec]:
        """Signature name to inputs and outputs; asked of the server once for each model."""
        name = model or self._model
        if name not in self._signatures:
            self._signatures[name] = read_metadata(self._call(METADATA, metadata_request(name), None))
        return self._signatures[name]

    def _call(self, method: str, request: Any, timeout_seconds: float | None) -> Any:
        timeout = self._timeout if timeout_seconds is None else timeout_seconds
        try:
            return self._calls[method](request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise CallError(error.code(), error.details() or "", self._address) from None

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serialize(request: Any) -> bytes:
    """A request's bytes."""
    data: bytes = request.SerializeToString()
    return data
