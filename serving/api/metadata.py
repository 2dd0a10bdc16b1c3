"""What the server says about its models: signatures and version states."""

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.api.predict import fill_model_spec
from serving.errors import ServingError, invalid_argument, not_found
from serving.models.servable import Runnable
from serving.models.states import StateBoard, VersionStatus

SIGNATURE_DEF = "signature_def"


def check_metadata_fields(request: get_model_metadata_pb2.GetModelMetadataRequest) -> None:
    """Only `signature_def` may be asked for, and something must be.

    Raises:
        ServingError: otherwise.
    """
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {field} is not supported")


def model_metadata(
    servable: Runnable, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """All signatures of one version, the initialisation op's too, as the real server lists them."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    fill_model_spec(response.model_spec, servable, request.model_spec.name, None)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature.definition)
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response


def model_status(
    board: StateBoard, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """States of all versions of a model, or of the one that is asked for; a label in the request is ignored.

    Raises:
        ServingError: no ModelSpec, or nothing known of the model or version.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    name = request.model_spec.name
    statuses = board.of(name)
    response = get_model_status_pb2.GetModelStatusResponse()
    if request.model_spec.HasField("version"):
        number = request.model_spec.version.value
        if number not in statuses:
            raise not_found(f"Could not find version {number} of model {name}")
        _add(response, number, statuses[number])
        return response
    if not statuses:
        raise _unknown(name)
    for number in sorted(statuses, reverse=True):
        _add(response, number, statuses[number])
    return response


def _unknown(name: str) -> ServingError:
    return not_found(f"Could not find any versions of model {name}")


def _add(response: get_model_status_pb2.GetModelStatusResponse, number: int, status: VersionStatus) -> None:
    added = response.model_version_status.add(version=number, state=int(status.state))
    added.status.error_code = int(status.code)
    added.status.error_message = status.message
