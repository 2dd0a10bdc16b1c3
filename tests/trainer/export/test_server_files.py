"""The files that a server is started with say what TensorFlow Serving understands, and nothing it refuses."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from features.disk.layout import Workdir
from features.disk.manifest import Manifest
from features.errors import ConfigError
from serving.protos import BatchingParameters, MonitoringConfig
from trainer.config.export import ExportConfig
from trainer.export.rollback import roll_back
from trainer.export.server_files import write_server_files


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    workdir = Workdir(tmp_path)
    for model, versions in (("retrieval", (3, 4, 7)), ("ranking", (2,))):
        for version in versions:
            workdir.model(model).version(version).mkdir(parents=True)
    write_server_files(workdir, ExportConfig(models=("retrieval", "ranking"), served_from="/srv/", max_batch_size=24))
    return workdir


def models(path: Path) -> dict:
    parsed = text_format.Parse(path.read_text(encoding="utf-8"), ModelServerConfig())
    return {model.name: model for model in parsed.model_config_list.config}


def test_models_are_named_by_this_machines_paths_and_by_the_servers(workdir: Workdir) -> None:
    here, there = models(workdir.model_config), models(workdir.server_file("models"))
    assert list(here) == list(there) == ["retrieval", "ranking"]
    assert here["retrieval"].base_path == str(workdir.model("retrieval").base)
    assert there["retrieval"].base_path == "/srv/retrieval"
    assert not there["retrieval"].HasField("model_version_policy")


def test_labels_come_in_a_second_step_over_the_same_versions(workdir: Workdir) -> None:
    first, second = models(workdir.server_file("canary_load")), models(workdir.server_file("canary_labels"))
    for name, expected in (("retrieval", [4, 7]), ("ranking", [2])):
        assert list(first[name].model_version_policy.specific.versions) == expected
        assert list(second[name].model_version_policy.specific.versions) == expected
        assert dict(first[name].version_labels) == {}
        assert dict(second[name].version_labels) == {"stable": expected[0], "canary": expected[-1]}


def test_after_a_rollback_no_label_points_to_the_refused_version(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path)
    layout = workdir.model("retrieval")
    for version in (1, 2):
        manifest = Manifest(kind="saved_model", schema_fingerprint="s", inputs={"run": str(version)})
        manifest.write(layout.manifest(version))
    assert roll_back(layout, 1) == 3
    write_server_files(workdir, ExportConfig(models=("retrieval",)))
    labelled = models(workdir.server_file("canary_labels"))["retrieval"]
    assert list(labelled.model_version_policy.specific.versions) == [3]
    assert dict(labelled.version_labels) == {"stable": 3, "canary": 3}


def test_no_file_asks_for_request_logs_which_the_stock_server_refuses(workdir: Workdir) -> None:
    files = [*workdir.saved_models.rglob("*.config")]
    assert len(files) == 6
    assert not [path for path in files if "logging_config" in path.read_text()]


def test_batch_sizes_end_with_the_largest(workdir: Workdir) -> None:
    parsed = text_format.Parse(workdir.server_file("batching").read_text(), BatchingParameters())
    assert parsed.max_batch_size.value == 24
    assert list(parsed.allowed_batch_sizes) == [1, 2, 4, 8, 16, 24]


def test_metrics_are_on(workdir: Workdir) -> None:
    parsed = text_format.Parse(workdir.server_file("monitoring").read_text(), MonitoringConfig())
    assert parsed.prometheus_config.enable
    assert parsed.prometheus_config.path.startswith("/")


@pytest.mark.parametrize(
    ("field", "value"), [("served_from", "models"), ("max_batch_size", 0), ("batch_timeout_micros", -1)]
)
def test_a_value_that_no_server_takes_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"export.{field}"):
        ExportConfig(**{field: value})
