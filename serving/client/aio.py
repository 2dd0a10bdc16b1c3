"""The client for asyncio programs.

>>> import asyncio
>>> async def best_of(user_id):
...     async with AsyncRecommenderClient("localhost:8500") as client:
...         (items,) = await client.recommend({"user_id": [user_id]}, k=2)
...     return [item.item_id for item in items]
>>> asyncio.run(best_of("42"))
['0', '1']
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


class AsyncRecommenderClient:
    """A connection to one server, for use in one event loop. See `RecommenderClient` for arguments and results."""

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
        options = channel_options(retries or Retries())
        self._channel = (
            grpc.aio.insecure_channel(address, options=options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=options)
        )
        self._address = address
        self._timeout = timeout_seconds
        self._metadata = tuple((metadata or {}).items())
        self._plans = CallPlans(model)
        self._stubs = stubs(self._channel)

    async def predict(
        self,
        inputs: Mapping[str, ArrayLike],
        signature: str = DEFAULT_SIGNATURE,
        *,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Calls any signature."""
        return await self._run(self._plans.predict(inputs, signature, model), timeout_seconds)

    async def recommend(
        self,
        query: Mapping[str, Sequence[object]],
        k: int = 10,
        *,
        exclude: Sequence[Sequence[str]] | None = None,
        filters: Mapping[str, object] | None = None,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[list[Recommendation]]:
        """Recommends items for each query of a batch."""
        wanted = restrictions(exclude, filters)
        return await self._run(self._plans.recommend(query, k, wanted, model), timeout_seconds)

    async def explain(
        self,
        query: Mapping[str, Sequence[object]],
        k: int = 10,
        *,
        exclude: Sequence[Sequence[str]] | None = None,
        filters: Mapping[str, object] | None = None,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[list[Explanation]]:
        """Recommends as `recommend` does and tells why each item has its score; for the model `recommender`."""
        wanted = restrictions(exclude, filters)
        return await self._run(self._plans.explain(query, k, wanted, model), timeout_seconds)

    async def status(self, model: str | None = None) -> list[VersionState]:
        """The versions of a model that the server knows, newest first."""
        return await self._run(self._plans.status(model), None)

    async def metadata(self, model: str | None = None) -> dict[str, SignatureSpec]:
        """Inputs and outputs by signature; the server is asked once per model."""
        return await self._run(self._plans.metadata(model), None)

    async def _run(self, plan: CallPlan[_T], timeout_seconds: float | None) -> _T:
        timeout = self._timeout if timeout_seconds is None else timeout_seconds
        try:
            call = next(plan)
            while True:
                response = await self._stubs[call.method](call.request, timeout=timeout, metadata=self._metadata)
                call = plan.send(response)
        except StopIteration as end:
            result: _T = end.value
            return result
        except grpc.aio.AioRpcError as error:
            raise CallError(error.code(), error.details() or "", self._address) from None

    async def close(self) -> None:
        """Closes the connection."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
