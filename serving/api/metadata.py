"""GetModelMetadata: the signatures of a version."""

from tensorflow_serving.apis import get_model_metadata_pb2

from serving.api.predict import fill_model_spec
from serving.errors import invalid_argument
from serving.models.servable import Runnable

SIGNATURE_DEF = "signature_def"
"""The only metadata field there is."""


def check_metadata_fields(request: get_model_metadata_pb2.GetModelMetadataRequest) -> None:
    """Checks the requested metadata fields.

    Raises:
        ServingError: There is none, or one other than `signature_def`.
    """
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {field} is not supported")


def model_metadata(
    servable: Runnable, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """All signatures of a version, that of the initialisation op included, as in the real server."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    fill_model_spec(response.model_spec, servable, request.model_spec.name, None)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature.definition)
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response
