"""The calls behind each method of a client, independent of how a call is made: the sync and async clients share them.

Each plan is a generator that yields the calls to make, is sent their responses, and returns the method's result.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from numpy.typing import ArrayLike, NDArray

from serving.client.explanations import Explanation, read_explanations
from serving.client.messages import (
    EXPLAIN_SIGNATURE,
    METADATA,
    PREDICT,
    RESPONSES,
    STATUS,
    Recommendation,
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
from serving.client.signatures import SignatureSpec

_T = TypeVar("_T")


class PlannedCall(NamedTuple):
    """A call to make."""

    method: str
    request: Any


CallPlan: TypeAlias = Generator[PlannedCall, Any, _T]


class CallPlans:
    """The plans of one client; remembers the signatures of the models that it asked for."""

    def __init__(self, model: str) -> None:
        """Plans calls of `model` unless they name another."""
        self._model = model
        self._signatures: dict[str, dict[str, SignatureSpec]] = {}

    def predict(
        self, inputs: Mapping[str, ArrayLike], signature: str, model: str | None
    ) -> CallPlan[dict[str, NDArray[Any]]]:
        """See `RecommenderClient.predict`."""
        specs = None
        if any(not hasattr(values, "dtype") for values in inputs.values()):
            found = (yield from self.metadata(model)).get(signature)
            specs = None if found is None else found.inputs
        response = yield PlannedCall(PREDICT, predict_request(model or self._model, signature, inputs, specs))
        return read_outputs(response)

    def recommend(
        self,
        query: Mapping[str, Sequence[object]],
        k: int,
        restrictions: Mapping[str, object],
        model: str | None,
    ) -> CallPlan[list[list[Recommendation]]]:
        """See `RecommenderClient.recommend`."""
        signatures = yield from self.metadata(model)
        request = recommend_request(model or self._model, signatures, query, k, restrictions)
        return read_recommendations((yield PlannedCall(PREDICT, request)), k)

    def explain(
        self,
        query: Mapping[str, Sequence[object]],
        k: int,
        restrictions: Mapping[str, object],
        model: str | None,
    ) -> CallPlan[list[list[Explanation]]]:
        """See `RecommenderClient.explain`."""
        name, signatures = model or self._model, (yield from self.metadata(model))
        request = recommend_request(name, signatures, query, k, restrictions, signature=EXPLAIN_SIGNATURE)
        return read_explanations((yield PlannedCall(PREDICT, request)), k)

    def status(self, model: str | None) -> CallPlan[list[VersionState]]:
        """See `RecommenderClient.status`."""
        return read_status((yield PlannedCall(STATUS, status_request(model or self._model))))

    def metadata(self, model: str | None) -> CallPlan[dict[str, SignatureSpec]]:
        """See `RecommenderClient.metadata`."""
        name = model or self._model
        if name not in self._signatures:
            self._signatures[name] = read_metadata((yield PlannedCall(METADATA, metadata_request(name))))
        return self._signatures[name]


def stubs(channel: Any) -> dict[str, Any]:
    """The callable of each method on a sync or async channel."""
    return {method: channel.unary_unary(method, _serialize, reply.FromString) for method, reply in RESPONSES.items()}


def _serialize(request: Any) -> bytes:
    data: bytes = request.SerializeToString()
    return data
