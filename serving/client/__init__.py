"""Clients: `RecommenderClient` and, for asyncio, `AsyncRecommenderClient`. None of it imports TensorFlow."""

from serving.client.aio import AsyncRecommenderClient
from serving.client.explanations import Explanation
from serving.client.messages import (
    PREDICT,
    Recommendation,
    VersionState,
    predict_request,
    read_outputs,
)
from serving.client.retries import CallError, Retries
from serving.client.signatures import SignatureSpec, TensorSpec
from serving.client.sync import RecommenderClient

__all__ = [
    "PREDICT",
    "AsyncRecommenderClient",
    "CallError",
    "Explanation",
    "Recommendation",
    "RecommenderClient",
    "Retries",
    "SignatureSpec",
    "TensorSpec",
    "VersionState",
    "predict_request",
    "read_outputs",
]
