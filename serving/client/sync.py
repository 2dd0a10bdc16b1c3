"""A client of recstack's models over TensorFlow Serving's gRPC protocol, of any server that speaks it.

    with RecommenderClient("localhost:8500", model="retrieval") as client:
        for items in client.recommend({"user_id": ["42"]}, k=10, exclude=[["318"]]):
            print([(item.item_id, item.score) for item in items])

One client holds one connection and may be used from many threads. `serving.client.aio` has the same with `await`.
Neither imports TensorFlow.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from numpy.typing import ArrayLike, NDArray

from serving.client.messages import DEFAULT_SIGNATURE, Recommendation, SignatureSpec, VersionState, restrictions
from serving.client.retries import CallError, Dialogue, Dialogues, Retries, calls_of, channel_options

__all__ = ["CallError", "Recommendation", "RecommenderClient", "Retries", "SignatureSpec", "VersionState"]

_T = TypeVar("_T")


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
        self._timeout = timeout_seconds
        self._metadata = tuple((metadata or {}).items())
        self._dialogues = Dialogues(model)
        self._calls = calls_of(self._channel)

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
        return self._hold(self._dialogues.predict(inputs, signature, model), timeout_seconds)

    def recommend(
        self,
        query: Mapping[str, Sequence[object]],
        k: int = 10,
        *,
        exclude: Sequence[Sequence[str]] | None = None,
        filters: Mapping[str, object] | None = None,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[list[Recommendation]]:
        """The best items for each query of a batch.

        Args:
            query: feature name to one raw value a query (a list a query, for the history). What is left out takes the
                model's default; a known user's history is the one the model holds.
            k: items a query.
            exclude: item ids a query not to return; one list serves the whole batch.
            filters: input name to what items must be, such as `{"year_min": 1990, "genres_any_of": ["Drama", "War"],
                "allow_item_ids": [...]}`: one bound or list for the whole batch, or a list with one for each query.
            model: instead of the client's: `retrieval`, `retrieval_exact` or `recommender`.
            timeout_seconds: instead of the client's.

        Returns:
            One list a query, best first; shorter than `k` where the model has no more.

        Raises:
            CallError: the server answered with an error, or did not answer in time.
            InputError: the model has no such input, or a value is not of its type.
        """
        wanted = restrictions(exclude, filters)
        return self._hold(self._dialogues.recommend(query, k, wanted, model), timeout_seconds)

    def status(self, model: str | None = None) -> list[VersionState]:
        """Every version of a model the server knows of, newest first."""
        return self._hold(self._dialogues.status(model), None)

    def metadata(self, model: str | None = None) -> dict[str, SignatureSpec]:
        """Signature name to inputs and outputs; asked of the server once for each model."""
        return self._hold(self._dialogues.metadata(model), None)

    def _hold(self, dialogue: Dialogue[_T], timeout_seconds: float | None) -> _T:
        timeout = self._timeout if timeout_seconds is None else timeout_seconds
        try:
            ask = next(dialogue)
            while True:
                reply = self._calls[ask.method](ask.request, timeout=timeout, metadata=self._metadata)
                ask = dialogue.send(reply)
        except StopIteration as end:
            result: _T = end.value
            return result
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
