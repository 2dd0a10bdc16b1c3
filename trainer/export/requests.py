"""Example requests with users and items of the dataset: warm-up requests, and examples for clients."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from trainer.export.assembly import Assembly

Request: TypeAlias = Mapping[str, "np.ndarray[Any, Any]"]
"""Values by input name."""


def example_requests(assembly: Assembly, signatures: Mapping[str, Any]) -> dict[str, Sequence[Request]]:
    """Makes a request for each signature and batch size, with every input.

    Args:
        assembly: The export's assembly.
        signatures: Signatures by name, made by `make_signature`.
    """
    sizes = assembly.job.export.warmup_batch_sizes
    requests: dict[str, Sequence[Request]] = {
        # People ask for one explanation at a time, and a large batch of them takes memory.
        name: [
            _request(assembly, function, size, names_an_item=name == "embed_item")
            for size in ((min(sizes),) if name == "explain" else sizes)
        ]
        for name, function in signatures.items()
    }
    if "encode_query" in requests:
        encode, raw = signatures["encode_query"], requests["encode_query"]
        # The outputs of one half are the inputs of the other: only they show what a missing value looks like encoded.
        encoded = [encode(dict(request)) for request in raw]
        requests["embed_encoded_query"] = [{name: value.numpy() for name, value in each.items()} for each in encoded]
    return requests


def write_warmup(path: Path, model: str, requests: Mapping[str, Sequence[Request]]) -> None:
    """Writes PredictionLog records, which a server replays before the version becomes available."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, examples in requests.items():
            for request in examples:
                log = prediction_log_pb2.PredictionLog()
                log.predict_log.request.CopyFrom(predict_request(model, signature, request))
                writer.write(log.SerializeToString())


def predict_request(model: str, signature: str, request: Request) -> predict_pb2.PredictRequest:
    """Builds a PredictRequest."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for name, value in request.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


def _request(assembly: Assembly, function: Any, size: int, *, names_an_item: bool) -> Request:
    (specs,) = function.input_signature
    schema = assembly.job.context.schema
    users = _cycle(assembly.user_ids, size)
    items = _cycle(assembly.item_ids, size)
    request: dict[str, np.ndarray[Any, Any]] = {}
    for name, spec in specs.items():
        if spec.shape.rank == 0:  # of the whole request: a count, or whether to exclude what was seen
            request[name] = np.array(assembly.exclude_seen) if spec.dtype == tf.bool else np.array(10, np.int32)
        elif spec.dtype != tf.string:
            request[name] = _missing(spec, size)
        elif name == schema.user_id:
            request[name] = users
        elif name == schema.item_id and names_an_item:
            request[name] = items
        elif name == "item_ids":
            request[name] = np.stack([_cycle(assembly.item_ids, 10)] * size)
        elif schema.history is not None and name == schema.history.name:
            request[name] = np.stack([_cycle(assembly.item_ids, schema.history.length)] * size)
        else:
            request[name] = _missing(spec, size)
    return request


def _cycle(values: Sequence[bytes], size: int) -> "np.ndarray[Any, Any]":
    return np.resize(np.array(values, object), size)


def _missing(spec: Any, size: int) -> "np.ndarray[Any, Any]":
    shape = [size, *(width or 1 for width in spec.shape.as_list()[1:])]
    dtype = spec.dtype.as_numpy_dtype
    return (
        np.full(shape, b"", object) if dtype is object else np.full(shape, np.nan if dtype == np.float32 else 0, dtype)
    )
