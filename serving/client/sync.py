"""A client for recstack's models, for any server that speaks TensorFlow Serving's gRPC protocol.

    >>> with RecommenderClient("localhost:8500", model="retrieval") as client:
    ...     for items in client.recommend({"user_id": ["42"]}, k=2, exclude=[["0"]]):
    ...         print([(item.item_id, item.score) for item in items])
    [('1', -1.0), ('2', -2.0)]

A client holds one connection and is thread-safe. `AsyncRecommenderClient` is its counterpart for asyncio. Neither
imports TensorFlow.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from numpy.typing import ArrayLike, NDArray

from serving.client.calls import CallPlan, CallPlans, stubs
from serving.client.explanations import Explanation
from serving.client.messages import DEFAULT_SIGNATURE, Recommendation, VersionState, restrictions
from serving.client.retries import CallError, Retries, channel_options
from serving.client.signatures import SignatureSpec

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
        """Prepares the client; the first call opens the connection.

        Args:
            address: `host:port` or `unix:path`.
            model: Name of the model to call unless a call names another.
            timeout_seconds: Deadline of each call, retries included.
            retries: When a failed call is repeated.
            credentials: Credentials for TLS; None connects in plain text.
            metadata: gRPC metadata of every call, such as `{"x-api-key": "…"}`.
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
        self._plans = CallPlans(model)
        self._stubs = stubs(self._channel)

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
            inputs: Arrays or nested lists by alias. Lists are converted to the signature's types, which the server is
                asked for once; arrays are sent unchanged.
            signature: The signature's name.
            model: Model to call instead of the client's.
            timeout_seconds: Deadline instead of the client's.

        Returns:
            Arrays by output alias; strings are object arrays of bytes.

        Raises:
            CallError: The server answered with an error, or not in time.
            InputError: A list does not fit the type of its input.
        """
        return self._run(self._plans.predict(inputs, signature, model), timeout_seconds)

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
        """Recommends items for each query of a batch.

        Args:
            query: Raw values by feature name, one per query (a list per query for the history). Omitted features take
                the model's defaults; if the history is omitted, the model uses the one it holds for the user.
            k: Number of items per query.
            exclude: Item ids not to return, a list per query; a single list applies to the whole batch.
            filters: What items must satisfy, by input name, such as `{"year_min": 1990, "genres_any_of": ["Drama",
                "War"], "allow_item_ids": [...]}`: one bound or list for the whole batch, or one per query. The model's
                other optional inputs go here too, such as `{"diversity": 0.3}` for `recommender`.
            model: Model to call instead of the client's: `retrieval`, `retrieval_exact` or `recommender`.
            timeout_seconds: Deadline instead of the client's.

        Returns:
            One list per query, best item first; shorter than `k` if the model finds fewer items.

        Raises:
            CallError: The server answered with an error, or not in time.
            InputError: The model has no such input, or a value does not fit the type of its input.
        """
        wanted = restrictions(exclude, filters)
        return self._run(self._plans.recommend(query, k, wanted, model), timeout_seconds)

    def explain(
        self,
        query: Mapping[str, Sequence[object]],
        k: int = 10,
        *,
        exclude: Sequence[Sequence[str]] | None = None,
        filters: Mapping[str, object] | None = None,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[list[Explanation]]:
        """Recommends as `recommend` does and tells why each item has its score; for the model `recommender`.

        The arguments are those of `recommend`.

        Raises:
            CallError: The server answered with an error, or not in time.
            InputError: The model explains nothing, it has no such input, or a value does not fit its input's type.
        """
        wanted = restrictions(exclude, filters)
        return self._run(self._plans.explain(query, k, wanted, model), timeout_seconds)

    def status(self, model: str | None = None) -> list[VersionState]:
        """The versions of a model that the server knows, newest first."""
        return self._run(self._plans.status(model), None)

    def metadata(self, model: str | None = None) -> dict[str, SignatureSpec]:
        """Inputs and outputs by signature; the server is asked once per model."""
        return self._run(self._plans.metadata(model), None)

    def _run(self, plan: CallPlan[_T], timeout_seconds: float | None) -> _T:
        timeout = self._timeout if timeout_seconds is None else timeout_seconds
        try:
            call = next(plan)
            while True:
                response = self._stubs[call.method](call.request, timeout=timeout, metadata=self._metadata)
                call = plan.send(response)
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
