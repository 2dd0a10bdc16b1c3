"""The deployment files are valid, and agree with what `recstack export` writes and the server understands."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml

from features.disk.layout import MODEL_NAMES, Workdir
from serving.flags import parse_flags
from trainer.config.export import ExportConfig
from trainer.export.server_files import METRICS_PATH, write_server_files

FOLDER = Path(__file__).parents[2] / "deploy" / "serving"
KUBERNETES = sorted((FOLDER / "kubernetes").glob("*.yaml"))


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [document for path in KUBERNETES for document in documents(path) if document["kind"] == kind]
    return found


def container() -> dict[str, Any]:
    (found,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def compose() -> dict[str, Any]:
    return documents(FOLDER / "compose.yaml")[0]["services"]["serving"]


@pytest.mark.parametrize("path", [path for path in KUBERNETES if path.stem != "kustomization"], ids=lambda p: p.name)
def test_kubernetes_takes_the_manifest(path: Path) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, "1.32", strict=True)


def test_kustomization_names_every_manifest() -> None:
    (kustomization,) = documents(FOLDER / "kubernetes" / "kustomization.yaml")
    assert set(kustomization["resources"]) == {path.name for path in KUBERNETES} - {"kustomization.yaml"}


@pytest.mark.parametrize("given", [compose()["command"], container()["args"]], ids=["compose", "kubernetes"])
def test_every_flag_is_a_flag_of_the_server_and_every_file_is_written_by_the_export(
    given: list[str], tmp_path: Path
) -> None:
    workdir = Workdir(tmp_path)
    for model in MODEL_NAMES:
        workdir.model(model).version(1).mkdir(parents=True)
    write_server_files(workdir, ExportConfig())
    here = [flag.replace(f"={ExportConfig().served_from}/", f"={workdir.saved_models}/") for flag in given]
    config = parse_flags(here)
    assert (config.port, config.rest_api_port) == (8500, 8501)
    for file in (config.model_config_file, config.monitoring_config_file):
        assert Path(file).is_file()


def test_probes_and_scraping_ask_the_rest_port_for_an_exported_model() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    for probe in ("startupProbe", "readinessProbe"):
        target = container()[probe]["httpGet"]
        assert ports[target["port"]] == 8501
        assert target["path"].split("/")[3] in MODEL_NAMES
    annotations = of_kind("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == METRICS_PATH


def test_models_are_mounted_for_reading_where_the_configuration_looks() -> None:
    (mount,) = container()["volumeMounts"]
    (volume,) = compose()["volumes"]
    assert mount["mountPath"] == volume["target"] == ExportConfig().served_from
    assert mount["readOnly"]
    assert volume["read_only"]
    claim = of_kind("Deployment")["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert of_kind("PersistentVolumeClaim")["metadata"]["name"] == claim


def test_autoscaler_and_service_select_the_deployment() -> None:
    deployment = of_kind("Deployment")
    assert of_kind("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert of_kind("Service")["spec"]["selector"] == labels
    assert of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels


@pytest.fixture
def link_scann() -> ModuleType:
    spec = importlib.util.spec_from_file_location("link_scann", FOLDER / "link_scann.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """The lines of both source trees that the edit is about."""
    serving, scann = tmp_path / "serving", tmp_path / "scann"
    servers, ops = serving / "tensorflow_serving" / "model_servers", scann / "scann" / "scann_ops" / "cc"
    servers.mkdir(parents=True)
    ops.mkdir(parents=True)
    (serving / "WORKSPACE").write_text('workspace(name = "tf_serving")\n')
    (servers / "BUILD").write_text(
        "SUPPORTED_TENSORFLOW_OPS = if_v2([]) + if_not_v2([\n"
        '    "@org_tensorflow//tensorflow/contrib:contrib_kernels",\n'
        '    "@org_tensorflow//tensorflow/contrib:contrib_ops_op_lib",\n'
        ']) + [\n    "@org_tensorflow_text//tensorflow_text:ops_lib",\n]\n'
    )
    (ops / "BUILD.bazel").write_text(
        'load("@pybind11_bazel//:build_defs.bzl", "pybind_library")\n\n'
        'cc_library(\n    name = "scann_ops",\n    deps = [\n'
        '        "@local_config_tf//:libtensorflow_framework",\n'
        '        "@local_config_tf//:tf_header_lib",\n    ],\n)\n\n'
        'pybind_library(\n    name = "scann_npy",\n    deps = [\n        ":scann",\n    ],\n)\n'
    )
    (scann / "MODULE.bazel").touch()
    return serving, scann


def test_scann_is_linked_against_the_servers_tensorflow(link_scann: ModuleType, trees: tuple[Path, Path]) -> None:
    serving, scann = trees
    link_scann.link(serving, scann)
    servers = (serving / "tensorflow_serving" / "model_servers" / "BUILD").read_text()
    assert servers.count(link_scann.OPERATIONS) == 1
    assert "tensorflow_text:ops_lib" in servers
    ops = (scann / "scann" / "scann_ops" / "cc" / "BUILD.bazel").read_text()
    assert "local_config_tf" not in ops
    assert "@org_tensorflow//tensorflow/core:tensorflow_opensource" in ops
    assert "pybind" not in ops
    assert 'name = "scann_ops_static"' in ops
    assert f'path = "{scann}"' in (serving / "WORKSPACE").read_text()
    assert not (scann / "MODULE.bazel").exists()


def test_another_server_version_stops_the_build(link_scann: ModuleType, trees: tuple[Path, Path]) -> None:
    serving, scann = trees
    (serving / "tensorflow_serving" / "model_servers" / "BUILD").write_text("SUPPORTED_TENSORFLOW_OPS = []\n")
    with pytest.raises(SystemExit, match="not as in TensorFlow Serving"):
        link_scann.link(serving, scann)
