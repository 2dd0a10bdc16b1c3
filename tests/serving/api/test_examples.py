"""Classify, Regress and MultiInference."""

import numpy as np
import pytest
import tensorflow as tf
from grpc import StatusCode
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def example(**floats):
    features = {name: tf.train.Feature(float_list=tf.train.FloatList(value=[value])) for name, value in floats.items()}
    return tf.train.Example(features=tf.train.Features(feature=features))


def classify_request(signature="classify", *examples, name="tiny"):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    request.input.example_list.examples.extend(examples)
    return request


def regress_request(signature="regress", *examples, name="tiny"):
    request = regression_pb2.RegressionRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    request.input.example_list.examples.extend(examples)
    return request


def multi_request(*tasks, name="shared"):
    request = inference_pb2.MultiInferenceRequest()
    for signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name = name
        task.model_spec.signature_name = signature
    request.input.example_list.examples.append(example(x=2.0))
    return request


@pytest.fixture(scope="module")
def shared(shared_input_model, running_server):
    with running_server(model_name="shared", model_base_path=str(shared_input_model)) as client:
        yield client


def test_classify(tiny):
    response = tiny.prediction.Classify(classify_request("classify", example(x=0.25), example(x=1.0)))
    rows = [[(each.label, each.score) for each in row.classes] for row in response.result.classifications]
    assert rows == [[("up", 0.25), ("down", 0.75)], [("up", 1.0), ("down", 0.0)]]
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "classify"


def test_regress(tiny):
    response = tiny.prediction.Regress(regress_request("regress", example(x=4.0), example()))
    assert [each.value for each in response.result.regressions] == [4.0, 2.0]


def test_a_context_is_merged_into_every_example(tiny):
    request = regress_request()
    request.input.example_list_with_context.context.CopyFrom(example(x=4.0))
    request.input.example_list_with_context.examples.extend([tf.train.Example(), tf.train.Example()])
    response = tiny.prediction.Regress(request)
    assert [each.value for each in response.result.regressions] == [4.0, 4.0]


def test_row_unknown_signature(tiny):
    request = classify_request("nope", example())
    message = tiny.refused(tiny.prediction.Classify, request, StatusCode.INVALID_ARGUMENT)
    assert message == "No signature was found with the name: nope"
    message = tiny.refused(tiny.prediction.Regress, regress_request("nope"), StatusCode.INVALID_ARGUMENT)
    assert message == "No signature was found with the name: nope"


def test_row_empty_input(tiny):
    for call, request in (
        (tiny.prediction.Classify, classify_request()),
        (tiny.prediction.Regress, regress_request()),
    ):
        assert tiny.refused(call, request, StatusCode.INVALID_ARGUMENT) == "Input is empty."


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("two", "Expected one input Tensor."),
        ("serving_default", "No classification inputs found in SignatureDef"),
        ("regress", "Expected classification signature outputs to contain"),
    ],
)
def test_row_unfit_signature_for_classify(tiny, signature, message):
    request = classify_request(signature, example())
    assert tiny.refused(tiny.prediction.Classify, request, StatusCode.INVALID_ARGUMENT).startswith(message)


@pytest.mark.parametrize(
    ("signature", "message"),
    [("classify", "Expected one output Tensor."), ("serving_default", "No regression inputs found in SignatureDef")],
)
def test_row_unfit_signature_for_regress(tiny, signature, message):
    request = regress_request(signature, example())
    assert tiny.refused(tiny.prediction.Regress, request, StatusCode.INVALID_ARGUMENT).startswith(message)


def test_row_missing_model_spec(tiny):
    for call, request in (
        (tiny.prediction.Classify, classification_pb2.ClassificationRequest()),
        (tiny.prediction.Regress, regression_pb2.RegressionRequest()),
    ):
        assert tiny.refused(call, request, StatusCode.INVALID_ARGUMENT) == "Missing ModelSpec"


def test_multi_inference_answers_both_tasks(shared):
    response = shared.prediction.MultiInference(multi_request(("classify", CLASSIFY), ("regress", REGRESS)))
    classified, regressed = response.results
    assert [each.score for each in classified.classification_result.classifications[0].classes] == [2.0, -2.0]
    assert [each.value for each in regressed.regression_result.regressions] == [20.0]
    assert classified.model_spec.signature_name == "classify"
    assert regressed.model_spec.version.value == 1


def test_multi_inference_counts_its_examples(shared):
    serving = "/tensorflow/serving"
    before = shared.server.metrics.totals(f"{serving}/request_example_count_total").get(("shared",), 0)
    request = multi_request(("classify", CLASSIFY))
    request.input.example_list.examples.append(example(x=3.0))
    shared.prediction.MultiInference(request)
    assert shared.server.metrics.totals(f"{serving}/request_example_count_total")[("shared",)] == before + 2
    assert shared.server.metrics.totals(f"{serving}/request_example_counts")[("shared",)] >= 1


def test_row_multi_inference_refusals(shared):
    def refused(request, code=StatusCode.INVALID_ARGUMENT):
        return shared.refused(shared.prediction.MultiInference, request, code)

    assert refused(multi_request()) == "ModelSpec has no name specified."
    two_models = multi_request(("classify", CLASSIFY), ("regress", REGRESS))
    two_models.tasks[1].model_spec.name = "other"
    assert "must access the same model name" in refused(two_models)
    twice = multi_request(("classify", CLASSIFY), ("classify", CLASSIFY))
    assert refused(twice) == "Duplicate evaluation of signature: classify"
    assert refused(multi_request(("nope", CLASSIFY))) == "Requested signature not found in model graph: nope"
    message = refused(multi_request(("classify", "tensorflow/serving/predict")), StatusCode.UNIMPLEMENTED)
    assert message == "Unsupported signature method_name: tensorflow/serving/predict"


def test_multi_inference_feeds_the_same_examples_to_signatures_with_inputs_of_their_own(tiny):
    """TensorFlow 2 exports: each signature has its own input tensor; of x = 2, scores are 2, -1 and y = x / 2 + 2."""
    request = multi_request(("classify", CLASSIFY), ("regress", REGRESS), name="tiny")
    classified, regressed = tiny.prediction.MultiInference(request).results
    assert [each.score for each in classified.classification_result.classifications[0].classes] == [2.0, -1.0]
    assert [each.value for each in regressed.regression_result.regressions] == [3.0]
    assert [each.model_spec.signature_name for each in (classified, regressed)] == ["classify", "regress"]


def test_the_method_name_is_checked_by_flag_only(start_server, shared_input_model):
    flags = {"model_name": "shared", "model_base_path": str(shared_input_model)}
    strict = start_server(**flags, enable_signature_method_name_check=True)
    request = regress_request("odd", example(x=3.0), name="shared")
    message = strict.refused(strict.prediction.Regress, request, StatusCode.INVALID_ARGUMENT)
    assert message.startswith("Expected regression signature method_name to be tensorflow/serving/regress")
    lenient = start_server(**flags)
    assert lenient.prediction.Regress(request).result.regressions[0].value == np.float32(3.0)
