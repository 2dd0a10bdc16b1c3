"""`serving.client` for asyncio programs.

async with AsyncRecommenderClient("localhost:8500") as client:
    (items,) = await client.recommend({"user_id": ["42"]}, k=10)
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from numpy.typing import ArrayLike, NDArray

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
from serving.client import METADATA, PREDICT, REPLIES, STATUS, CallError, Retries, channel_options, serialize


class AsyncRecommenderClient:
    """A connection to one server, for one event loop. Arguments and results are `RecommenderClient`'s."""

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
        self._model = model
        self._timeout = timeout_seconds
        self._metadata = tuple((metadata or {}).items())
        self._signatures: dict[str, dict[str, SignatureSpec]] = {}
        self._calls: dict[str, Any] = {
            method: self._channel.unary_unary(method, serialize, reply.FromString) for method, reply in REPLIES.items()
        }

    async def predict(
        self,
        inputs: Mapping[str, ArrayLike],
        signature: str = DEFAULT_SIGNATURE,
        *,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Calls any signature."""
        name = model or self._model
        specs = None
        if any(not hasattr(values, "dtype") for values in inputs.values()):
            found = (await self.metadata(name)).get(signature)
            specs = None if found is None else found.inputs
        request = predict_request(name, signature, inputs, specs)
        return read_outputs(await self._call(PREDICT, request, timeout_seconds))

    async def recommend(
        self,
        query: Mapping[str, Sequence[object]],
        k: int = 10,
        *,
        exclude: Sequence[Sequence[str]] | None = None,
        model: str | None = None,
        timeout_seconds: float | None = None,
    ) -> list[list[Recommendation]]:
        """The best items for each query of a batch."""
        name = model or self._model
        request = recommend_request(name, await self.metadata(name), query, k, exclude)
        return read_recommendations(await self._call(PREDICT, request, timeout_seconds), k)

    async def status(self, model: str | None = None) -> list[VersionState]:
        """Every version of a model the server knows of, newest first."""
        return read_status(await self._call(STATUS, status_request(model or self._model), None))

    async def metadata(self, model: str | None = None) -> dict[str, SignatureSpec]:
        """Signature name to inputs and outputs; asked of the server once for each model."""
        name = model or self._model
        if name not in self._signatures:
            self._signatures[name] = read_metadata(await self._call(METADATA, metadata_request(name), None))
        return self._signatures[name]

    async def _call(self, method: str, request: Any, timeout_seconds: float | None) -> Any:
        timeout = self._timeout if timeout_seconds is None else timeout_seconds
        try:
            return await self._calls[method](request, timeout=timeout, metadata=self._metadata)
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
