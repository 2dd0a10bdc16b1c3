"""Versions come and go under a running server. Version v of the model is y = x / 2 + v."""

import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
from grpc import RpcError, StatusCode
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_status_pb2, predict_pb2, prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.errors import Code, ServingError
from serving.models.states import State
from tests.serving.conftest import PATIENCE

AVAILABLE, END = State.AVAILABLE, State.END
QUICK = {"file_system_poll_wait_seconds": 1, "max_num_load_retries": 0}


def publish(affine_versions, base, *versions):
    """Puts versions in place as a writer must: under another name, then renamed."""
    for version in versions:
        shutil.copytree(affine_versions / str(version), base / f"tmp-{version}")
        (base / f"tmp-{version}").rename(base / str(version))


def answer(client, name="m", version=None):
    """The version that answered, after checking that the value is that version's."""
    request = client.request(name, x=np.array([2.0], np.float32))
    if version is not None:
        request.model_spec.version.value = version
    response = client.prediction.Predict(request, timeout=PATIENCE)
    answered = response.model_spec.version.value
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), [1.0 + answered])
    return answered


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "m"
    path.mkdir()
    return path


@pytest.fixture
def start(start_server, base):
    def start(**flags):
        return start_server(model_name="m", model_base_path=str(base), **{**QUICK, **flags})

    return start


def test_the_latest_version_is_served(affine_versions, base, start):
    publish(affine_versions, base, 1, 3, 2)
    client = start()
    assert answer(client) == 3
    assert client.states("m") == {3: AVAILABLE}
    with pytest.raises(RpcError, match="NOT_FOUND"):
        answer(client, version=2)


def test_new_versions_are_found_by_polling(affine_versions, base, start):
    publish(affine_versions, base, 1)
    client = start()
    publish(affine_versions, base, 2)
    assert client.server.board.wait_for(lambda: client.states("m") == {1: END, 2: AVAILABLE}, timeout=PATIENCE)


def test_a_new_version_replaces_the_old_without_a_failed_call(affine_versions, base, start):
    publish(affine_versions, base, 1)
    client = start()
    stop = threading.Event()
    seen, failures = [], []

    def keep_calling():
        while not stop.is_set():
            try:
                seen.append(answer(client))
            except Exception as error:
                failures.append(error)

    caller = threading.Thread(target=keep_calling)
    caller.start()
    try:
        publish(affine_versions, base, 2)
        client.wait_until(lambda: client.states("m") == {1: END, 2: AVAILABLE})
    finally:
        stop.set()
        caller.join()
    assert not failures
    assert seen == sorted(seen)
    assert answer(client) == 2


def test_an_unloaded_version_stays_listed_as_ended_with_ok(affine_versions, base, start):
    publish(affine_versions, base, 1)
    client = start()
    publish(affine_versions, base, 2)
    client.wait_until(lambda: client.states("m") == {1: END, 2: AVAILABLE})
    assert client.server.board.of("m")[1].code is Code.OK


def test_unloading_waits_for_the_calls_that_hold_the_version(affine_versions, base, start):
    publish(affine_versions, base, 1)
    client = start()
    with client.server.store.lease("m") as held:
        publish(affine_versions, base, 2)
        client.wait_until(lambda: client.states("m").get(2) == AVAILABLE)
        client.wait_until(lambda: client.states("m")[1] == State.UNLOADING)
        results = held.run(
            ("serving_default_x:0",), [np.zeros(1, np.float32)], held.signatures["serving_default"].fetches, None
        )
        np.testing.assert_array_equal(results[0], [1.0])
        assert client.states("m")[1] == State.UNLOADING
    client.wait_until(lambda: client.states("m")[1] == END)


def corrupt(base):
    (base / "2").mkdir()
    (base / "2" / "saved_model.pb").write_bytes(b"not a proto at all")


def half_written(base):
    shutil.copytree(base / "1", base / "staging")
    for file in (base / "staging" / "variables").iterdir():
        file.unlink()
    (base / "staging").rename(base / "2")


def empty(base):
    (base / "2").mkdir()


def of_another_platform(base):
    (base / "2").mkdir()
    (base / "2" / "model.onnx").write_bytes(b"a model of another runtime")


def without_its_operation(base):
    shutil.copytree(base / "1", base / "staging")
    file = base / "staging" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for function in model.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.op = "Nobodys>Operation" if node.op == "Mul" else node.op
    file.write_bytes(model.SerializeToString())
    (base / "staging").rename(base / "2")


@pytest.mark.parametrize(
    ("break_it", "code", "message"),
    [
        (of_another_platform, Code.NOT_FOUND, "Could not find SavedModel .pb or .pbtxt"),
        (without_its_operation, Code.NOT_FOUND, "Op type not registered 'Nobodys>Operation'"),
        (corrupt, Code.DATA_LOSS, "Can't parse"),
        (half_written, Code.NOT_FOUND, "are missing or incomplete"),
        (empty, Code.NOT_FOUND, "Could not find SavedModel .pb or .pbtxt at supplied export directory path"),
    ],
)
def test_a_bad_version_ends_with_its_error_and_the_old_one_serves_on(
    affine_versions, base, start, break_it, code, message
):
    publish(affine_versions, base, 1)
    client = start()
    break_it(base)
    client.wait_until(lambda: client.states("m") == {1: AVAILABLE, 2: END})
    status = client.server.board.of("m")[2]
    assert status.code is code, status
    assert message in status.message
    assert answer(client) == 1
    publish(affine_versions, base, 3)
    client.wait_until(lambda: client.states("m").get(3) == AVAILABLE and client.states("m")[1] == END)
    assert answer(client) == 3


def test_a_failed_load_is_tried_again(affine_versions, base, start):
    (base / "1").mkdir()
    # The server starts only once a version is available, and finds the missing files at a later try.
    timer = threading.Timer(0.5, lambda: shutil.copytree(affine_versions / "1", base / "1", dirs_exist_ok=True))
    timer.start()
    client = start(max_num_load_retries=100, load_retry_interval_micros=100_000)
    timer.join()
    assert answer(client) == 1


def test_a_server_whose_model_cannot_load_does_not_start(base, start):
    (base / "1").mkdir()
    with pytest.raises(
        ServingError, match=r"1 servable\(s\) did not become available: \{\{\{name: m version: 1\}"
    ) as caught:
        start()
    assert caught.value.code is Code.UNKNOWN


def test_an_empty_base_path_unloads_everything_and_a_missing_one_nothing(affine_versions, base, start):
    publish(affine_versions, base, 1)
    client = start()
    base.rename(base.with_name("away"))
    client.server.store.poll()
    assert answer(client) == 1
    base.mkdir()
    client.wait_until(lambda: client.states("m") == {1: END})
    client.refused(client.prediction.Predict, client.request("m", x=np.ones(1, np.float32)), StatusCode.NOT_FOUND)


def test_a_version_that_comes_back_is_loaded_again(affine_versions, base, start):
    publish(affine_versions, base, 1)
    client = start()
    publish(affine_versions, base, 2)
    client.wait_until(lambda: client.states("m") == {1: END, 2: AVAILABLE})
    shutil.rmtree(base / "2")
    client.wait_until(lambda: client.states("m") == {1: AVAILABLE, 2: END})
    assert answer(client) == 1


def config_list(*models):
    return model_server_config_pb2.ModelServerConfig(
        model_config_list={"config": [{"model_platform": "tensorflow", **model} for model in models]}
    )


def test_all_and_specific_policies(affine_versions, base, start_server, tmp_path):
    publish(affine_versions, base, 1, 2, 3)
    file = tmp_path / "models.config"
    file.write_text(
        f"""model_config_list {{
          config {{ name: "all" base_path: "{base}" model_platform: "tensorflow" model_version_policy {{ all {{}} }} }}
          config {{ name: "some" base_path: "{base}" model_platform: "tensorflow"
            model_version_policy {{ specific {{ versions: 1 versions: 3 versions: 8 }} }} }}
        }}"""
    )
    client = start_server(model_config_file=str(file), **QUICK)
    client.wait_until(lambda: len(client.states("all")) == 3 and set(client.states("all").values()) == {AVAILABLE})
    assert [answer(client, "all", version) for version in (None, 1, 2, 3)] == [3, 1, 2, 3]
    client.wait_until(lambda: client.states("some") == {1: AVAILABLE, 3: AVAILABLE})


def warm_up_with(base, *records):
    extra = base / "1" / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for record in records:
            writer.write(record)


def predict_log(**inputs):
    request = predict_pb2.PredictRequest()
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    return log.SerializeToString()


def test_warm_up_records_are_replayed(affine_versions, base, start, caplog):
    publish(affine_versions, base, 1)
    warm_up_with(base, predict_log(x=np.ones(1, np.float32)), predict_log(x=np.ones(2, np.float32)))
    with caplog.at_level("INFO"):
        assert answer(start(num_request_iterations_for_warmup=2)) == 1
    assert "2 warm-up records replayed" in caplog.text


@pytest.mark.parametrize(
    "records",
    [[predict_log(wrong=np.ones(1, np.float32))], [b"\xff no PredictionLog"], [b""], [predict_log(x=[1.0])] * 1001],
    ids=["request fails", "does not parse", "no request", "more than 1000"],
)
def test_bad_warm_up_fails_the_load_unless_switched_off(affine_versions, base, start, records):
    publish(affine_versions, base, 1)
    warm_up_with(base, *records)
    with pytest.raises(ServingError, match="did not become available"):
        start()
    assert answer(start(enable_model_warmup=False)) == 1


def test_a_warm_up_file_that_is_no_tfrecord_fails_the_load(affine_versions, base, start):
    publish(affine_versions, base, 1)
    (base / "1" / "assets.extra").mkdir()
    (base / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"these are no records, just text")
    with pytest.raises(ServingError, match="DATA_LOSS"):
        start()


def test_status_over_grpc_shows_the_error(affine_versions, base, start):
    publish(affine_versions, base, 1)
    client = start()
    empty(base)
    client.wait_until(lambda: client.states("m").get(2) == END)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "m"
    newest, oldest = client.model.GetModelStatus(request).model_version_status
    assert (newest.version, newest.status.error_code, oldest.version) == (2, Code.NOT_FOUND, 1)


def test_wrong_tags_fail_in_the_real_servers_words(affine_versions, base, start):
    publish(affine_versions, base, 1)
    with pytest.raises(ServingError, match=r"Could not find meta graph def matching supplied tags: \{ serve gpu \}"):
        start(saved_model_tags="serve,gpu")
