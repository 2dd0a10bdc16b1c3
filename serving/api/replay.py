"""Replays recorded requests on a version, for warm-up."""

from collections.abc import Mapping

from tensorflow_serving.apis import prediction_log_pb2

from serving.api.dispatch import INFERENCE
from serving.api.predict import InferenceOptions
from serving.errors import ServingError, invalid_argument
from serving.models.servable import Runnable

LOG_FIELDS: Mapping[str, str] = {
    "Predict": "predict_log",
    "Classify": "classify_log",
    "Regress": "regress_log",
    "MultiInference": "multi_inference_log",
}
"""Field of PredictionLog that holds the calls of an RPC."""

_RPC_OF_FIELD = {field: rpc for rpc, field in LOG_FIELDS.items()}


def replay(servable: Runnable, log: prediction_log_pb2.PredictionLog) -> None:
    """Answers a recorded request and drops the answer.

    Raises:
        ServingError: The request fails, or is of a kind that the server does not answer.
    """
    field = log.WhichOneof("log_type")
    rpc = _RPC_OF_FIELD.get(field or "")
    if rpc is None:
        raise invalid_argument(f"Unsupported log_type for warmup: {field}")
    try:
        INFERENCE[rpc](servable, getattr(log, field).request, InferenceOptions())
    except ServingError as error:
        raise ServingError(error.code, f"warm-up request failed: {error.message}") from None
