"""GetModelStatus: the states of a model's versions."""

from tensorflow_serving.apis import get_model_status_pb2

from serving.errors import invalid_argument, not_found
from serving.models.states import StateBoard, VersionStatus


def model_status(
    board: StateBoard, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """States of all versions of a model, newest first, or of the requested version; a version label is ignored.

    Raises:
        ServingError: There is no ModelSpec, or the model or version was never seen.
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
        raise not_found(f"Could not find any versions of model {name}")
    for number in sorted(statuses, reverse=True):
        _add(response, number, statuses[number])
    return response


def _add(response: get_model_status_pb2.GetModelStatusResponse, number: int, status: VersionStatus) -> None:
    added = response.model_version_status.add(version=number, state=int(status.state))
    added.status.error_code = int(status.code)
    added.status.error_message = status.message
