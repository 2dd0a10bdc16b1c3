"""Models and labels replaced while serving, by request and by file."""

import numpy as np
import pytest
from grpc import StatusCode
from tensorflow_serving.apis import model_management_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.config import ServerConfig
from serving.errors import Code, ServingError
from serving.models.states import State
from serving.server import Server
from tests.serving.conftest import PATIENCE

QUICK = {"file_system_poll_wait_seconds": 1, "max_num_load_retries": 0}
AVAILABLE, END = State.AVAILABLE, State.END


@pytest.fixture
def bases(affine_versions, tmp_path):
    """Two base paths with versions 1, 2 and 3."""
    paths = [tmp_path / "one", tmp_path / "two"]
    for path in paths:
        path.symlink_to(affine_versions)
    return [str(path) for path in paths]


def reload_request(*models):
    request = model_management_pb2.ReloadConfigRequest()
    for model in models:
        request.config.model_config_list.config.append(
            model_server_config_pb2.ModelConfig(**{"model_platform": "tensorflow", **model})
        )
    return request


@pytest.fixture
def client(start_server, bases):
    return start_server(model_name="one", model_base_path=bases[0], **QUICK)


def answers(client, name, label=None):
    request = client.request(name, x=np.array([2.0], np.float32))
    if label is not None:
        request.model_spec.version_label = label
    return client.prediction.Predict(request, timeout=PATIENCE).model_spec.version.value


def test_the_new_config_replaces_the_old(client, bases):
    client.model.HandleReloadConfigRequest(reload_request({"name": "two", "base_path": bases[1]}))
    assert answers(client, "two") == 3
    client.wait_until(lambda: client.states("one") == {3: END})
    client.refused(client.prediction.Predict, client.request("one"), StatusCode.NOT_FOUND)


def test_a_model_that_was_dropped_can_come_back(client, bases):
    one, two = ({"name": name, "base_path": base} for name, base in zip(("one", "two"), bases, strict=True))
    client.model.HandleReloadConfigRequest(reload_request(two))
    client.wait_until(lambda: client.states("one") == {3: END})
    client.model.HandleReloadConfigRequest(reload_request(one))
    assert answers(client, "one") == 3


def test_a_changed_policy_is_applied(client, bases):
    policy = {"specific": {"versions": [1, 2]}}
    request = reload_request({"name": "one", "base_path": bases[0], "model_version_policy": policy})
    client.model.HandleReloadConfigRequest(request)
    client.wait_until(lambda: client.states("one") == {1: AVAILABLE, 2: AVAILABLE, 3: END})


def test_row_reload_without_a_list(client):
    for request in (model_management_pb2.ReloadConfigRequest(), model_management_pb2.ReloadConfigRequest()):
        message = client.refused(client.model.HandleReloadConfigRequest, request, StatusCode.INVALID_ARGUMENT)
        assert message == (
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (
            [{"name": "a", "base_path": "/a"}, {"name": "a", "base_path": "/b"}],
            "Illegal to list model a multiple times in config list",
        ),
        (
            [{"name": "a", "base_path": "relative"}],
            "Expected model a to have an absolute path or URI; got base_path()=relative",
        ),
        (
            [{"name": "a", "base_path": "/a", "model_platform": "caffe"}],
            "Model a requests unsupported platform caffe",
        ),
        (
            [{"name": "one", "base_path": "/a", "model_platform": "caffe"}],
            "Illegal to change a model's platform. For model one platform was tensorflow and new platform requested is "
            "caffe",
        ),
        (
            [{"name": "a", "base_path": "/a", "model_platform": ""}],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.",
        ),
        (
            [{"name": "a", "base_path": "/a", "model_type": 1}],
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform.",
        ),
        (
            [{"name": "a", "base_path": "/a", "model_type": 2, "model_platform": ""}],
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
    ],
)
def test_row_reload_that_is_not_valid_changes_nothing(client, models, message):
    request = reload_request(*models)
    assert client.refused(client.model.HandleReloadConfigRequest, request, StatusCode.INVALID_ARGUMENT) == message
    assert answers(client, "one") == 3


def test_the_deprecated_model_type_still_names_the_platform(client, bases):
    client.model.HandleReloadConfigRequest(
        reload_request({"name": "two", "base_path": bases[1], "model_type": 1, "model_platform": ""})
    )
    assert answers(client, "two") == 3


def test_row_reload_of_a_model_that_cannot_load(client, bases, tmp_path):
    (tmp_path / "bad" / "5").mkdir(parents=True)
    request = reload_request(
        {"name": "one", "base_path": bases[0]}, {"name": "bad", "base_path": str(tmp_path / "bad")}
    )
    message = client.refused(client.model.HandleReloadConfigRequest, request, StatusCode.UNKNOWN)
    assert message.startswith("1 model(s) did not become available: {{{name: bad version: 5}")
    assert answers(client, "one") == 3


def test_a_reload_waits_for_a_model_without_versions_until_its_deadline_only(client, bases, tmp_path):
    (tmp_path / "later").mkdir()
    request = reload_request({"name": "later", "base_path": str(tmp_path / "later")})
    client.refused(client.model.HandleReloadConfigRequest, request, StatusCode.DEADLINE_EXCEEDED, timeout=0.3)
    client.model.HandleReloadConfigRequest(reload_request({"name": "one", "base_path": bases[0]}), timeout=PATIENCE)
    assert answers(client, "one") == 3


def labelled(base, **labels):
    policy = {"specific": {"versions": sorted({1, 3})}}
    return {"name": "one", "base_path": base, "model_version_policy": policy, "version_labels": labels}


def test_labels_name_available_versions_only(client, bases):
    call = client.model.HandleReloadConfigRequest
    message = client.refused(call, reload_request(labelled(bases[0], canary=2)), StatusCode.FAILED_PRECONDITION)
    assert message == (
        "Request to assign label to version 2 of model one, which is not currently available for inference"
    )
    assert client.states("one") == {3: AVAILABLE}
    call(reload_request(labelled(bases[0])))
    client.wait_until(lambda: client.states("one").get(1) == AVAILABLE)
    call(reload_request(labelled(bases[0], stable=1, canary=3)))
    assert (answers(client, "one", "stable"), answers(client, "one", "canary")) == (1, 3)
    call(reload_request(labelled(bases[0], stable=3)))
    assert answers(client, "one", "stable") == 3
    request = client.request("one")
    request.model_spec.version_label = "canary"
    client.refused(client.prediction.Predict, request, StatusCode.INVALID_ARGUMENT)


def config_file(path, base, labels="", policy=""):
    path.write_text(
        f'model_config_list {{ config {{ name: "one" base_path: "{base}" model_platform: "tensorflow" '
        f"{labels} {policy} }} }}"
    )
    return str(path)


def test_labels_in_the_first_config_need_the_flag(start_server, bases, tmp_path):
    file = config_file(tmp_path / "c", bases[0], 'version_labels { key: "stable" value: 2 }')
    client = start_server(model_config_file=file, allow_version_labels_for_unavailable_models=True, **QUICK)
    request = client.request("one")
    request.model_spec.version_label = "stable"
    message = client.refused(client.prediction.Predict, request, StatusCode.NOT_FOUND)
    assert message == "Servable not found for request: Specific(one, 2)"


@pytest.mark.parametrize("version", [2, 3], ids=["not loaded", "about to be loaded"])
def test_labels_in_the_first_config_are_checked_before_anything_is_loaded(bases, tmp_path, version):
    file = config_file(tmp_path / "c", bases[0], f'version_labels {{ key: "stable" value: {version} }}')
    server = Server(ServerConfig(port=0, model_config_file=file, **QUICK))
    with pytest.raises(ServingError, match="not currently available") as caught:
        server.start()
    assert caught.value.code is Code.FAILED_PRECONDITION
    assert server.board.of("one") == {}
    server.stop()


def test_a_label_in_use_does_not_move_to_an_unavailable_version(start_server, bases, tmp_path):
    file = config_file(tmp_path / "c", bases[0], 'version_labels { key: "stable" value: 3 }')
    client = start_server(model_config_file=file, allow_version_labels_for_unavailable_models=True, **QUICK)
    call = client.model.HandleReloadConfigRequest
    client.refused(call, reload_request(labelled(bases[0], stable=2)), StatusCode.FAILED_PRECONDITION)
    assert answers(client, "one", "stable") == 3
    call(reload_request(labelled(bases[0], stable=3, canary=2)))
    call(reload_request(labelled(bases[0], stable=3, canary=2)))  # where it is already it may stay


def test_the_polled_file_is_applied_and_a_broken_one_is_not(start_server, bases, tmp_path, caplog):
    file = tmp_path / "models.config"
    client = start_server(model_config_file=config_file(file, bases[0]), model_config_file_poll_wait_seconds=1, **QUICK)
    file.write_text("model_config_list { config {")
    client.wait_until(lambda: "serving goes on" in caplog.text)
    assert answers(client, "one") == 3
    config_file(file, bases[0], policy="model_version_policy { specific { versions: 2 } }")
    client.wait_until(lambda: client.states("one") == {2: AVAILABLE, 3: END})


@pytest.mark.slow
def test_the_polled_file_moves_a_label_once_its_version_is_loaded(start_server, bases, tmp_path):
    """Labels in use may not name versions that are not loaded, and versions that no label needs are unloaded."""

    def write(stable, canary):
        labels = (
            f'version_labels {{ key: "stable" value: {stable} }} version_labels {{ key: "canary" value: {canary} }}'
        )
        versions = " ".join(f"versions: {version}" for version in sorted({stable, canary}))
        policy = f"model_version_policy {{ specific {{ {versions} }} }}"
        return config_file(tmp_path / "models.config", bases[0], labels, policy)

    flags = {"model_config_file_poll_wait_seconds": 1, "allow_version_labels_for_unavailable_models": True, **QUICK}
    client = start_server(model_config_file=write(1, 1), **flags)
    write(1, 2)
    client.wait_until(lambda: (answers(client, "one", "stable"), answers(client, "one", "canary")) == (1, 2))
    assert client.states("one") == {1: AVAILABLE, 2: AVAILABLE}
    write(3, 3)
    # Each of these calls would fail if a label named a version that is not loaded.
    client.wait_until(lambda: (answers(client, "one", "stable"), answers(client, "one", "canary")) == (3, 3))
    client.wait_until(lambda: client.states("one") == {1: END, 2: END, 3: AVAILABLE})


def test_logging_config_is_refused_as_the_stock_server_does(start_server, bases, tmp_path):
    file = config_file(tmp_path / "c", bases[0], "logging_config { sampling_config { sampling_rate: 1.0 } }")
    with pytest.raises(ServingError, match="No request-logger-creator provided"):
        start_server(model_config_file=file, **QUICK)


def test_a_config_that_does_not_parse_says_so(start_server, tmp_path):
    file = tmp_path / "c"
    file.write_text("nonsense")
    with pytest.raises(ServingError, match=r"Error parsing text-format tensorflow\.serving\.ModelServerConfig"):
        start_server(model_config_file=str(file))


def test_neither_path_nor_file_says_so(start_server):
    with pytest.raises(ServingError, match="--model_base_path and --model_config_file are empty"):
        start_server()
