"""The REST API. The model is y = x / 2 + 2."""

import base64
import gzip
import json

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import predict_pb2

from features.protocol.wire import DataType
from serving.api.rest.predict_json import fill_predict_request
from serving.errors import HTTP_STATUS, Code, ServingError
from tests.serving.conftest import PATIENCE

MODEL = "/v1/models/tiny"


@pytest.fixture(scope="session")
def rest(tiny):
    with httpx.Client(base_url=f"http://127.0.0.1:{tiny.server._config.rest_api_port}", timeout=PATIENCE) as client:
        yield client


def post(rest, document, path=f"{MODEL}:predict", status=200):
    response = rest.post(path, json=document)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def error(rest, document, path=f"{MODEL}:predict", status=400):
    answer = post(rest, document, path, status)
    assert list(answer) == ["error"]
    return answer["error"]


@pytest.mark.parametrize(
    "path", [f"{MODEL}:predict", f"{MODEL}/versions/1:predict", "/V1/Models/tiny/Versions/01:predict"]
)
def test_row_format(rest, path):
    assert post(rest, {"instances": [1.0, 2.0, 5]}, path) == {"predictions": [2.5, 3.0, 4.5]}


def test_row_format_with_named_inputs_and_outputs(rest):
    document = {"signature_name": "two", "instances": [{"x": 1, "n": 3}, {"n": -1, "x": 0.5}]}
    predictions = post(rest, document)["predictions"]
    assert predictions == [
        {"sum": 4.0, "twice_bytes": {"b64": base64.b64encode(b"6").decode()}},
        {"sum": -0.5, "twice_bytes": {"b64": base64.b64encode(b"-2").decode()}},
    ]


def test_columnar_format(rest):
    assert post(rest, {"inputs": [2.0]}) == {"outputs": [3.0]}
    assert post(rest, {"inputs": {"x": [2.0], "ignored": 1}}) == {"outputs": [3.0]}
    assert post(rest, {"inputs": 2.0}) == {"outputs": 3.0}


def test_a_scalar_output_is_for_columns_only(rest):
    assert post(rest, {"signature_name": "total", "inputs": [1.0, 2.0]}) == {"outputs": 3.0}
    assert "has no shape information" in error(rest, {"signature_name": "total", "instances": [1.0, 2.0]})


def test_strings_and_base64(rest):
    document = {"signature_name": "text", "instances": ["häß", {"b64": base64.b64encode(b"\x00").decode()}]}
    first, second = post(rest, document)["predictions"]
    assert first == {"s": "häß", "s_bytes": {"b64": base64.b64encode("häß".encode()).decode()}}
    assert second["s_bytes"] == {"b64": "AA=="}
    for text in ("YWI", "Y W\nI="):  # neither padding nor white space matters
        assert post(rest, {"signature_name": "text", "inputs": {"b64": text}})["outputs"]["s"] == "ab"


def test_whole_floats_keep_their_point_and_digits_are_the_shortest(rest):
    response = rest.post(f"{MODEL}:predict", json={"inputs": [0, 0.2]})
    assert "2.0," in response.text
    assert "2.1\n" in response.text


def test_not_a_number_and_infinity_go_both_ways(rest):
    response = rest.post(f"{MODEL}:predict", content='{"inputs": [NaN, Infinity, -Infinity]}')
    assert response.status_code == 200
    assert [word in response.text for word in ("NaN", "Infinity", "-Infinity")] == [True] * 3


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"inputs": [1.0], "instances": [1.0]}, "expecting only one of"),
        ({"instances": 1.0}, "to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": ["a"]}, "is not of expected type: float"),
        ({"instances": [True]}, "is not of expected type: float"),
        ({"instances": [1.0, [2.0]]}, "Failed to process element: 1"),
        ({"instances": [{"x": 1.0, "y": 2.0}]}, "does not have named input: y"),
        ({"instances": [{}]}, "keys must be equal to: x"),
        ({"instances": [{"x": 1.0}, 2.0]}, "Expecting object but got list at item 1"),
        ({"instances": [1.0, {"x": 2.0}]}, "Expecting value/list but got object at item 1"),
        ({"instances": [[1.0], [2.0, 3.0]]}, "Expecting tensor size: 1 but got: 2"),
        ({"inputs": {"y": [1.0]}}, "Missing named input: x in 'inputs' object."),
        ({"inputs": [[1.0], [2.0, 3.0]]}, "Encountered list at unexpected size: 2"),
        ({"inputs": [2**24 + 1]}, "without loss of precision"),
        ({"signature_name": 3, "inputs": [1.0]}, "'signature_name' key must be a string value"),
        ({"signature_name": "nope", "inputs": [1.0]}, 'Serving signature name: "nope" not found in signature def'),
        ({"signature_name": "two", "inputs": [1.0]}, "multiple input tensors required"),
        ({"signature_name": "two", "instances": [1.0]}, "multiple input tensors required"),
        ({"signature_name": "two", "inputs": {"x": [1.0], "n": [1.5]}}, "is not of expected type: int64"),
        ({"signature_name": "text", "inputs": {"b64": "§"}}, "Unable to base64 decode"),
        ({"signature_name": "text", "inputs": [1]}, "is not of expected type: string"),
        ([1], "Is not object"),
    ],
)
def test_a_body_that_does_not_fit(rest, document, message):
    assert message in error(rest, document)


def test_an_input_of_the_wrong_rank_is_named_where_the_kernels_refuse_it(rest):
    document = {"signature_name": "classify", "inputs": "not a list"}
    assert error(rest, document).startswith("inputs: expected a list, one value per query; ")
    document = {"signature_name": "two", "inputs": {"x": [1.0, 2.0], "n": [[1, 2, 3]]}}
    assert error(rest, document).startswith("n: expected a list, one value per query; ")
    document = {"signature_name": "two", "inputs": {"x": [1.0, 2.0], "n": [1, 2, 3]}}
    assert "expected" not in error(rest, document)  # the ranks are right


def test_an_empty_or_broken_body(rest):
    for content in (b"", b"{", b"\xff\xfe\xfd", b'{"inputs": [1e400]}', b'{"inputs": ' + b"[" * 100_000):
        response = rest.post(f"{MODEL}:predict", content=content)
        assert response.status_code == 400
        assert response.json()["error"].startswith("JSON Parse error: ")


def test_classify_and_regress(rest):
    document = {"signature_name": "classify", "examples": [{"x": 0.25}, {"x": [1.0]}]}
    assert post(rest, document, f"{MODEL}:classify") == {
        "results": [[["up", 0.25], ["down", 0.75]], [["up", 1.0], ["down", 0.0]]]
    }
    document = {"signature_name": "regress", "context": {"x": 4.0}, "examples": [{}, {"x": 2.0}]}
    assert post(rest, document, f"{MODEL}:regress") == {"results": [4.0, 3.0]}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [3]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"x": [1.0, 2]}]}, "Unexpected element type in feature: x expecting type: float"),
        ({"examples": [{"x": None}]}, "has element with unexpected JSON type: Null"),
        ({"examples": [{"x": 2**64}]}, "Only int64 is supported"),
        ({"signature_name": "nope", "examples": [{}]}, "No signature was found with the name: nope"),
    ],
)
def test_examples_that_do_not_fit(rest, document, message):
    assert message in error(rest, document, f"{MODEL}:classify")


def test_features_are_typed_by_their_json_type(rest):
    # The graph parses x as a float: an integer 2 becomes an int64 feature, which it refuses.
    document = {"signature_name": "regress", "examples": [{"x": 2}]}
    assert "Data types don't match" in error(rest, document, f"{MODEL}:regress")


def test_status_and_metadata(rest):
    for path in (MODEL, f"{MODEL}/versions/1", f"{MODEL}/labels/ignored"):
        assert rest.get(path).json() == {
            "model_version_status": [
                {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        }
    metadata = rest.get(f"{MODEL}/metadata").json()
    assert metadata["model_spec"]["name"] == "tiny"
    assert metadata["model_spec"]["version"] == "1"
    x = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]
    assert x["dtype"] == "DT_FLOAT"
    assert x["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/nobody", 404, "Could not find any versions of model nobody"),
        ("GET", f"{MODEL}/versions/9", 404, "Could not find version 9 of model tiny"),
        ("GET", "/v1/models/nobody/metadata", 404, "Servable not found for request: Latest(nobody)"),
        ("GET", f"{MODEL}:predict", 400, f"Malformed request: GET {MODEL}:predict"),
        ("POST", MODEL, 400, f"Malformed request: POST {MODEL}"),
        ("PUT", MODEL, 400, f"Malformed request: PUT {MODEL}"),
        ("DELETE", f"{MODEL}:predict", 400, f"Malformed request: DELETE {MODEL}:predict"),
        ("OPTIONS", f"{MODEL}:predict", 400, f"Malformed request: OPTIONS {MODEL}:predict"),
        ("POST", f"{MODEL}:PREDICT", 400, f"Malformed request: POST {MODEL}:PREDICT"),
        ("POST", f"{MODEL}:explain", 400, f"Malformed request: POST {MODEL}:explain"),
        ("GET", "/v1/else", 400, "Malformed request: GET /v1/else"),
        ("POST", "/v1/models/nobody:predict", 404, "Servable not found for request: Latest(nobody)"),
        ("POST", f"{MODEL}/versions/9:predict", 404, "Servable not found for request: Specific(tiny, 9)"),
        ("POST", f"{MODEL}/labels/l:predict", 400, "Unrecognized servable version label: l"),
    ],
)
def test_paths_methods_and_codes(rest, method, path, status, message):
    content = json.dumps({"inputs": [1.0]}) if method == "POST" else None
    response = rest.request(method, path, content=content)
    assert response.status_code == status
    assert response.json() == {"error": message}


def test_head_is_malformed_and_has_no_body(rest):
    for path in (MODEL, f"{MODEL}/metadata", f"{MODEL}:predict"):
        response = rest.head(path)
        assert (response.status_code, response.content) == (400, b"")


def test_methods_beyond_the_common_ones_are_not_implemented(rest):
    for method in ("TRACE", "PROPFIND", "BREW"):
        assert rest.request(method, MODEL).status_code == 501
    assert rest.request("PATCH", MODEL).status_code == 400


def test_a_version_number_beyond_int64_has_an_empty_body(rest):
    response = rest.get(f"{MODEL}/versions/{2**63}")
    assert (response.status_code, response.content) == (400, b"")


@pytest.mark.parametrize(
    ("code", "status"),
    {
        "OK": 200,
        "CANCELLED": 499,
        "UNKNOWN": 500,
        "INVALID_ARGUMENT": 400,
        "DEADLINE_EXCEEDED": 504,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "RESOURCE_EXHAUSTED": 429,
        "FAILED_PRECONDITION": 400,
        "ABORTED": 409,
        "OUT_OF_RANGE": 400,
        "UNIMPLEMENTED": 501,
        "INTERNAL": 500,
        "UNAVAILABLE": 503,
        "DATA_LOSS": 500,
    }.items(),
)
def test_each_status_has_its_http_code(code, status):
    assert HTTP_STATUS.get(Code[code], 500) == status


def test_inputs_with_a_default_must_be_given_over_rest():
    # The real server's REST API knows nothing of SignatureDef.defaults; its gRPC API fills them in.
    inputs = {"x": DataType.FLOAT, "with_default": DataType.FLOAT}
    request = predict_pb2.PredictRequest()
    with pytest.raises(ServingError, match="Missing named input: with_default"):
        fill_predict_request(request, {"inputs": {"x": [1.0]}}, inputs)
    with pytest.raises(ServingError, match="keys must be equal to: with_default,x"):
        fill_predict_request(request, {"instances": [{"x": 1.0}]}, inputs)


def test_names_are_percent_decoded(rest):
    assert rest.get("/v1/models/%74iny").status_code == 200
    assert rest.get("/v1/models/a%20b").json() == {"error": "Could not find any versions of model a b"}


def test_outside_v1_is_not_found(rest):
    for path in ("/", "/v2/models", "/monitoring/prometheus/metrics"):
        response = rest.get(path)
        assert response.status_code == 404
        assert response.headers["content-type"].startswith("text/html")


def test_gzip_bodies_are_inflated_and_replies_never_compressed(rest):
    headers = {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    response = rest.post(f"{MODEL}:predict", content=gzip.compress(b'{"inputs": [2.0]}'), headers=headers)
    assert response.json() == {"outputs": [3.0]}
    assert "content-encoding" not in response.headers
    response = rest.post(f"{MODEL}:predict", content=b"no gzip", headers=headers)
    assert response.status_code == 400


def test_a_large_body_passes(rest):
    outputs = post(rest, {"inputs": [1.0] * 200_000})["outputs"]
    assert outputs == [2.5] * 200_000


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "b64", "n", "s"]), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(["instances", "inputs", "examples"]),
    value=values,
    signature=st.sampled_from(["serving_default", "two", "text", "total", "nope", 3]),
    verb=st.sampled_from(["predict", "classify", "regress"]),
)
# Half a step above the largest float32: to compare the two as float32 overflows.
@example(key="examples", value=[{"x": 3.4028235677973366e38}], signature="serving_default", verb="classify")
def test_any_json_is_answered_with_a_specified_status(rest, key, value, signature, verb):
    document = json.dumps({key: value, "signature_name": signature})
    response = rest.post(f"{MODEL}:{verb}", content=document)
    assert response.status_code in (200, 400), response.text
    assert ("error" in response.json()) == (response.status_code != 200)
