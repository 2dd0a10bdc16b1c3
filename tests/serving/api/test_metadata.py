"""GetModelMetadata and GetModelStatus (sections 2.2 and 2.3)."""

from grpc import StatusCode
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2


def metadata_request(*fields, name="tiny"):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    return request


def status_request(name="tiny", version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return request


def test_metadata_lists_every_signature(tiny):
    response = tiny.prediction.GetModelMetadata(metadata_request("signature_def"))
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == ""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "two", "__saved_model_init_op"} <= set(signatures.signature_def)
    assert signatures.signature_def["serving_default"].inputs["x"].name == "serving_default_x:0"


def test_row_metadata_fields(tiny):
    call = tiny.prediction.GetModelMetadata
    message = tiny.refused(call, metadata_request(), StatusCode.INVALID_ARGUMENT)
    assert message == "GetModelMetadataRequest must specify at least one metadata_field"
    message = tiny.refused(call, metadata_request("graph"), StatusCode.INVALID_ARGUMENT)
    assert message == "Metadata field graph is not supported"
    empty = get_model_metadata_pb2.GetModelMetadataRequest()
    assert tiny.refused(call, empty, StatusCode.INVALID_ARGUMENT) == "Missing ModelSpec"


def test_status_of_an_available_version(tiny):
    for version in (None, 1):
        (status,) = tiny.model.GetModelStatus(status_request(version=version)).model_version_status
        assert (status.version, status.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
        assert (status.status.error_code, status.status.error_message) == (0, "")


def test_status_ignores_the_label(tiny):
    request = status_request()
    request.model_spec.version_label = "no such label"
    assert len(tiny.model.GetModelStatus(request).model_version_status) == 1


def test_row_status_unknown(tiny):
    call = tiny.model.GetModelStatus
    assert tiny.refused(call, status_request("m"), StatusCode.NOT_FOUND) == "Could not find any versions of model m"
    message = tiny.refused(call, status_request(version=9), StatusCode.NOT_FOUND)
    assert message == "Could not find version 9 of model tiny"
    empty = get_model_status_pb2.GetModelStatusRequest()
    assert tiny.refused(call, empty, StatusCode.INVALID_ARGUMENT) == "Missing ModelSpec"
    # The name is not checked here.
    tiny.refused(call, status_request(""), StatusCode.NOT_FOUND)
