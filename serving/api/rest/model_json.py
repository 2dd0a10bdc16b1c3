"""Response bodies of status and metadata calls."""

from typing import Any

from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2

from serving.api.metadata import SIGNATURE_DEF
from serving.api.rest.json_tensors import Json, write_body


def status_body(response: Any) -> bytes:
    """The response body of a status call."""
    return write_body(_as_dict(response))


def metadata_body(response: Any) -> bytes:
    """The response body of a metadata call; `metadata.signature_def.signature_def` holds the signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    return write_body({"model_spec": _as_dict(response.model_spec), "metadata": {SIGNATURE_DEF: _as_dict(signatures)}})


def _as_dict(message: Any) -> Json:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
