"""Version directories and version policies."""

import logging

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from serving.config import ServerConfig
from serving.errors import Code, ServingError
from serving.models.discovery import Poller, choose_versions, list_versions

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


def test_only_whole_numbers_are_versions(tmp_path):
    for name in ("1", "00000123", "x", "1.5", "tmp-2", "9" * 30):
        (tmp_path / name).mkdir()
    assert list_versions(str(tmp_path)) == {1: str(tmp_path / "1"), 123: str(tmp_path / "00000123")}


def test_two_names_for_one_number_take_the_later_and_warn(tmp_path, caplog):
    (tmp_path / "01").mkdir()
    (tmp_path / "1").mkdir()
    assert list_versions(str(tmp_path)) == {1: str(tmp_path / "1")}
    assert "01 and 1 are the same version" in caplog.text


def test_a_base_path_that_is_not_there(tmp_path):
    with pytest.raises(ServingError, match="Could not find base path") as caught:
        list_versions(str(tmp_path / "nowhere"))
    assert caught.value.code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("", [3]),
        ("latest {}", [3]),
        ("latest { num_versions: 2 }", [2, 3]),
        ("all {}", [1, 2, 3]),
        ("specific { versions: 1 versions: 9 }", [1]),
    ],
)
def test_policies(policy, wanted):
    versions = {number: f"/m/{number}" for number in (1, 2, 3)}
    assert sorted(choose_versions(versions, text_format.Parse(policy, Policy()))) == wanted


def test_a_complaint_is_logged_once(tmp_path, caplog):
    models = {"m": model_server_config_pb2.ModelConfig(name="m", base_path=str(tmp_path / "later"))}
    poller = Poller(ServerConfig())
    with caplog.at_level(logging.ERROR):
        assert poller.look(models) == {}
        assert poller.look(models) == {}
    assert len(caplog.records) == 1


def test_an_empty_base_path_wants_nothing(tmp_path):
    models = {"m": model_server_config_pb2.ModelConfig(name="m", base_path=str(tmp_path))}
    assert Poller(ServerConfig()).look(models) == {"m": {}}
