"""Example requests, from the dataset's own users and items: the warm-up records and what a new user may send."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainer.export.assembly import Assembly
from trainer.export.saving import Request


def example_requests(assembly: Assembly, signatures: Mapping[str, Any]) -> dict[str, Sequence[Request]]:
    """For each signature one request a batch size, with every input given.

    Args:
        assembly: of the export.
        signatures: made by `make_signature`.
    """
    sizes = assembly.job.export.warmup_batch_sizes
    return {
        name: [_request(assembly, function, size, names_an_item=name == "embed_item") for size in sizes]
        for name, function in signatures.items()
    }


def _request(assembly: Assembly, function: Any, size: int, *, names_an_item: bool) -> Request:
    (specs,) = function.input_signature
    schema = assembly.job.schema
    users = _cycle(assembly.user_ids, size)
    items = _cycle(assembly.item_ids, size)
    request: dict[str, np.ndarray[Any, Any]] = {}
    for name, spec in specs.items():
        if name == schema.user_id:
            request[name] = users
        elif name == schema.item_id and names_an_item:
            request[name] = items
        elif name == "item_ids":
            request[name] = np.stack([_cycle(assembly.item_ids, 10)] * size)
        elif schema.history is not None and name == schema.history.name:
            request[name] = np.stack([_cycle(assembly.item_ids, schema.history.length)] * size)
        elif name in ("k", "limit"):
            request[name] = np.array(10, np.int32)
        else:
            request[name] = _missing(spec, size)
    return request


def _cycle(values: Sequence[bytes], size: int) -> "np.ndarray[Any, Any]":
    return np.resize(np.array(values, object), size)


def _missing(spec: Any, size: int) -> "np.ndarray[Any, Any]":
    shape = [size] + [1] * (spec.shape.rank - 1)
    dtype = spec.dtype.as_numpy_dtype
    return (
        np.full(shape, b"", object) if dtype is object else np.full(shape, np.nan if dtype == np.float32 else 0, dtype)
    )
