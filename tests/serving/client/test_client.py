"""The Python clients against a real server. The model likes item i of ten with score -i and leaves out what it must."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf

from features.errors import InputError
from features.protocol.wire import DataType
from serving.client import (
    AsyncRecommenderClient,
    CallError,
    Recommendation,
    RecommenderClient,
    Retries,
    TensorSpec,
    aio,
    sync,
)
from serving.client.arrays import as_array
from tests.docstring_example import run_example
from tests.serving.conftest import PATIENCE


class TenItems(tf.Module):
    ids = tf.strings.as_string(tf.range(10))

    def top(self, users, excluded, k):
        hidden = tf.reduce_any(self.ids[None, None, :] == excluded[:, :, None], axis=1)
        scores = tf.where(hidden, -np.inf, -tf.range(10, dtype=tf.float32)[None, :])
        scores, places = tf.math.top_k(tf.broadcast_to(scores, [tf.size(users), 10]), k)
        return {"item_ids": tf.where(tf.math.is_finite(scores), tf.gather(self.ids, places), ""), "scores": scores}


@pytest.fixture(scope="module")
def retrieval(tmp_path_factory, running_server):
    module = TenItems()
    users = tf.TensorSpec([None], tf.string, "user_id")
    age = tf.TensorSpec([None], tf.int64, "age")
    history = tf.TensorSpec([None, None], tf.string, "history")
    excluded = tf.TensorSpec([None, None], tf.string, "exclude_item_ids")
    least = tf.TensorSpec([None], tf.float32, "number_min")

    def serve(user_id, age, history):
        return module.top(user_id, history, 4)

    defaults = {
        "user_id": None,
        "age": tf.constant([0], tf.int64),
        "exclude_item_ids": tf.constant([[""]]),
        "allow_item_ids": tf.constant([[""]]),
        "number_min": tf.constant([0.0]),
        "k": tf.constant(4),
    }

    def retrieve(inputs=defaults):
        below = tf.where(tf.range(10.0)[None, :] < inputs["number_min"][:, None], module.ids[None, :], "")
        is_allowed = tf.reduce_any(module.ids[None, :, None] == inputs["allow_item_ids"][:, None, :], axis=2)
        is_open = tf.reduce_all(inputs["allow_item_ids"] == "", axis=1, keepdims=True)
        others = tf.where(is_allowed | is_open, "", module.ids[None, :])
        batch = tf.size(inputs["user_id"])
        parts = [
            tf.broadcast_to(each, [batch, tf.shape(each)[1]]) for each in (inputs["exclude_item_ids"], below, others)
        ]
        return module.top(inputs["user_id"], tf.concat(parts, axis=1), inputs["k"])

    specs = {
        "user_id": users,
        "age": age,
        "exclude_item_ids": excluded,
        "allow_item_ids": tf.TensorSpec([None, None], tf.string, "allow_item_ids"),
        "number_min": least,
        "k": tf.TensorSpec([], tf.int32, "k"),
    }
    both = {
        "serving_default": tf.function(serve, input_signature=[users, age, history]),
        "retrieve": tf.function(retrieve, input_signature=[specs]),
    }
    base = tmp_path_factory.mktemp("retrieval")
    tf.saved_model.save(module, str(base / "1"), signatures=both)
    tf.saved_model.save(module, str(base / "plain" / "1"), signatures={"serving_default": both["serving_default"]})
    file = base / "models.config"
    file.write_text(
        f"""model_config_list {{
          config {{ name: "retrieval" base_path: "{base}" model_platform: "tensorflow" }}
          config {{ name: "plain" base_path: "{base}/plain" model_platform: "tensorflow" }}
        }}"""
    )
    with running_server(model_config_file=str(file)) as server:
        yield server


@pytest.fixture
def client(retrieval):
    with RecommenderClient(retrieval.address, timeout_seconds=PATIENCE) as client:
        yield client


def ids(results):
    return [[item.item_id for item in items] for items in results]


def test_recommend_returns_typed_items_best_first(client):
    (items,) = client.recommend({"user_id": ["u"]}, k=3)
    assert items == [Recommendation("0", 0.0), Recommendation("1", -1.0), Recommendation("2", -2.0)]


def test_recommend_for_a_batch_with_exclusions_of_unequal_length(client):
    results = client.recommend({"user_id": ["u", "v"]}, k=2, exclude=[["0", "1"], ["1"]])
    assert ids(results) == [["2", "3"], ["0", "2"]]


def test_what_fills_a_row_up_is_left_out(client):
    (items,) = client.recommend({"user_id": ["u"]}, k=10, exclude=[[str(item) for item in range(8)]])
    assert [item.item_id for item in items] == ["8", "9"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"number_min": 3}, [["3", "4"], ["3", "4"]]),
        ({"number_min": [3, 5.0]}, [["3", "4"], ["5", "6"]]),
        ({"allow_item_ids": ["9", "7"]}, [["7", "9"], ["7", "9"]]),
        ({"allow_item_ids": [["9", "7"], ["8"]], "number_min": 8}, [["9"], ["8"]]),
        ({"allow_item_ids": np.array([[b"2"]], object)}, [["2"], ["2"]]),
        ({}, [["0", "1"], ["0", "1"]]),
    ],
)
def test_filters_for_all_queries_or_for_each(client, filters, expected):
    assert ids(client.recommend({"user_id": ["u", "v"]}, k=2, filters=filters)) == expected


def test_an_unknown_filter_names_the_inputs_there_are(client):
    with pytest.raises(InputError, match=r"'retrieve' has no input year_min; its inputs are .*number_min"):
        client.recommend({"user_id": ["u"]}, filters={"year_min": 1990})


def test_nothing_to_exclude(client):
    assert ids(client.recommend({"user_id": ["u", "v"]}, k=1, exclude=[[], []])) == [["0"], ["0"]]


def test_inputs_with_a_default_may_be_left_out_or_given(client):
    metadata = client.metadata()["retrieve"]
    assert {name for name, spec in metadata.inputs.items() if spec.required} == {"user_id"}
    assert metadata.inputs["k"] == TensorSpec(DataType.INT32, (), required=False)
    assert ids(client.recommend({"user_id": ["u"], "age": [30]}, k=1)) == [["0"]]


def test_a_model_without_retrieve_is_cut_to_k_and_cannot_exclude(client):
    query = {"user_id": ["u", "v"], "age": [1, 2], "history": [["0"], ["1", "2"]]}
    assert ids(client.recommend(query, k=2, model="plain")) == [["1", "2"], ["0", "3"]]
    with pytest.raises(InputError, match="has no input exclude_item_ids"):
        client.recommend(query, k=2, model="plain", exclude=[["1"]])


def test_an_unknown_feature_is_named_with_those_there_are(client):
    with pytest.raises(InputError, match="no input colour; its inputs are age, allow_item_ids, exclude"):
        client.recommend({"user_id": ["u"], "colour": ["red"]})


def test_a_negative_number_of_items_is_refused_before_the_call(client):
    with pytest.raises(InputError, match="k: expected 0 or more items per query, got -1"):
        client.recommend({"user_id": ["u"], "age": [30]}, k=-1)


def test_predict_types_lists_by_the_signature(client):
    outputs = client.predict({"user_id": ["u"], "age": [3], "history": [[]]})
    assert outputs["item_ids"].tolist() == [[b"0", b"1", b"2", b"3"]]
    np.testing.assert_array_equal(outputs["scores"], [[0.0, -1.0, -2.0, -3.0]])


def test_status(client):
    (version,) = client.status()
    assert (version.version, version.state, version.error_code) == (1, "AVAILABLE", 0)


def test_a_failed_call_carries_the_servers_status(client):
    with pytest.raises(CallError, match="NOT_FOUND") as caught:
        client.predict({"x": np.ones(1, np.float32)}, model="nobody")
    assert caught.value.code is grpc.StatusCode.NOT_FOUND
    assert "Latest(nobody)" in caught.value.details


def test_nobody_listens(free_port):
    client = RecommenderClient(f"127.0.0.1:{free_port}", timeout_seconds=2.0, retries=Retries(attempts=2))
    with client, pytest.raises(CallError, match=r"127\.0\.0\.1"):
        client.status()


def test_unavailable_is_tried_again_until_the_server_is_back(free_port):
    tries = []

    def flaky(request, context):
        tries.append(request)
        if len(tries) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the queue is full")
        return b""

    def invalid(request, context):
        tries.append(request)
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")

    server = grpc.server(ThreadPoolExecutor(2))
    handlers = {
        "GetModelStatus": grpc.unary_unary_rpc_method_handler(flaky),
        "HandleReloadConfigRequest": grpc.unary_unary_rpc_method_handler(invalid),
    }
    service = grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", handlers)
    predict = {"Predict": grpc.unary_unary_rpc_method_handler(invalid)}
    other = grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", predict)
    server.add_generic_rpc_handlers((service, other))
    server.add_insecure_port(f"127.0.0.1:{free_port}")
    server.start()
    try:
        with RecommenderClient(f"127.0.0.1:{free_port}", timeout_seconds=PATIENCE) as client:
            assert client.status() == []
            assert len(tries) == 3
            with pytest.raises(CallError, match="INVALID_ARGUMENT"):
                client.predict({"x": np.ones(1)})
            assert len(tries) == 4
    finally:
        server.stop(None).wait()


def test_the_async_client_gives_the_same_answers(retrieval, client):
    async def ask():
        async with AsyncRecommenderClient(retrieval.address, timeout_seconds=PATIENCE) as other:
            several = await asyncio.gather(
                *(other.recommend({"user_id": ["u"]}, k=k, exclude=[["0"]]) for k in range(1, 4))
            )
            with pytest.raises(CallError, match="NOT_FOUND"):
                await other.status("nobody")
            predicted = await other.predict({"user_id": ["u"], "age": [3], "history": [[]]})
            return several, await other.status(), predicted["item_ids"].tolist()

    several, status, predicted = asyncio.run(ask())
    assert several == [client.recommend({"user_id": ["u"]}, k=k, exclude=[["0"]]) for k in range(1, 4)]
    assert status == client.status()
    assert predicted == [[b"0", b"1", b"2", b"3"]]


@pytest.mark.parametrize(
    ("values", "spec", "expected"),
    [
        (["a", b"b"], None, np.array([b"a", b"b"], object)),
        ([["a"], ["b", "c"]], None, np.array([[b"a", b""], [b"b", b"c"]], object)),
        ([[1], [2, 3]], TensorSpec(DataType.INT64, None), np.array([[1, 0], [2, 3]], np.int64)),
        ([1, 2], TensorSpec(DataType.FLOAT, None), np.array([1, 2], np.float32)),
        ([0.5], None, np.array([0.5], np.float32)),
        (3, TensorSpec(DataType.INT32, ()), np.array(3, np.int32)),
        ("text", TensorSpec(DataType.STRING, ()), np.array(b"text", object)),
        ([[], []], TensorSpec(DataType.STRING, None), np.empty((2, 0), object)),
    ],
)
def test_lists_become_arrays(values, spec, expected):
    array = as_array(values, spec)
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"user_id": "35"}, "user_id: expected a list, one value per query, got '35'"),
        ({"user_id": [["35"]]}, r"user_id: expected a list, one value per query, got \[\['35'\]\]"),
        ({"user_id": ["35"], "age": 3}, "age: expected a list, one value per query, got 3"),
        ({"user_id": [35]}, "user_id: expected text, got int64 values"),
        ({"user_id": ["35"], "age": ["3"]}, r"age: expected INT64 values, got \['3'\]"),
        ({"user_id": ["35"], "age": [1.5]}, "age: expected whole numbers that int64 holds, got 1.5"),
        ({"user_id": ["3", "5"], "age": [1, [2]]}, r"age: expected lists of equal depth, got \[1, \[2\]\]"),
        (
            {"user_id": ["1", "2"], "age": [1, 2, 3]},
            "age: expected 2 values, one per query, or one for all",
        ),
        ({"user_id": ["1"], "age": [1, 2]}, "age: expected 1 values, one per query"),
    ],
)
def test_the_input_that_is_wrong_is_named(client, query, message):
    with pytest.raises(InputError, match=message):
        client.recommend(query)


def test_the_input_of_any_signature_that_is_wrong_is_named(client):
    with pytest.raises(InputError, match="history: expected a list of lists, one list per query, got"):
        client.predict({"user_id": ["u"], "age": [3], "history": ["1"]})


def test_numbers_where_text_is_wanted_are_refused():
    with pytest.raises(InputError, match="expected text"):
        as_array([1, 2], TensorSpec(DataType.STRING, None))


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), 2**63, 2**64, -(2**63) - 1, "7", None])
def test_values_that_are_no_whole_numbers_are_refused(value):
    with pytest.raises(InputError, match="expected"):
        as_array([[1, value]], TensorSpec(DataType.INT64, None))


@pytest.mark.parametrize("value", [2.0, True, 2**63 - 1, -(2**63)])
def test_values_that_are_whole_numbers_are_sent(value):
    assert as_array([value], TensorSpec(DataType.INT64, None)).tolist() == [int(value)]


def test_the_clients_import_no_tensorflow():
    code = "import sys, serving.client; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("module", [sync, aio], ids=["sync", "aio"])
def test_examples_in_docstrings_give_what_they_say(retrieval, module):
    run_example(module, {"localhost:8500": retrieval.address})
