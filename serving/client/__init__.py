"""Clients of a server: `RecommenderClient` and, for asyncio, `AsyncRecommenderClient`."""

from serving.client.aio import AsyncRecommenderClient
from serving.client.messages import Recommendation, SignatureSpec, VersionState
from serving.client.retries import CallError, Retries
from serving.client.sync import RecommenderClient

__all__ = [
    "AsyncRecommenderClient",
    "CallError",
    "Recommendation",
    "RecommenderClient",
    "Retries",
    "SignatureSpec",
    "VersionState",
]
