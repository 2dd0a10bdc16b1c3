"""The label `stable` stays where it was put while newer versions come, and old versions that it names are kept."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from features.disk.layout import Workdir
from features.errors import InputError
from trainer.config.export import ExportConfig
from trainer.export.labels import set_stable, stable_version, stable_versions
from trainer.export.publish import remove_old_versions
from trainer.export.server_files import write_server_files


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    workdir = Workdir(tmp_path)
    for version in (3, 4, 7):
        workdir.model("retrieval").version(version).mkdir(parents=True)
    return workdir


def test_without_a_promotion_there_is_none(workdir: Workdir) -> None:
    assert stable_versions(workdir) == {}
    assert stable_version(workdir, "retrieval") is None


def test_each_model_has_its_own(workdir: Workdir) -> None:
    set_stable(workdir, {"retrieval": 3})
    set_stable(workdir, {"ranking": 1})
    assert stable_versions(workdir) == {"retrieval": 3, "ranking": 1}
    assert stable_version(workdir, "retrieval") == 3


def test_a_version_that_is_gone_is_not_stable(workdir: Workdir) -> None:
    set_stable(workdir, {"retrieval": 2})
    assert stable_version(workdir, "retrieval") is None


def test_a_damaged_file_is_named(workdir: Workdir) -> None:
    workdir.stable_file.write_text('{"retrieval": "newest"}')
    with pytest.raises(InputError, match=r"stable.json: cannot be read .* run `recstack promote`"):
        stable_version(workdir, "retrieval")


@pytest.mark.parametrize(("stable", "versions"), [(3, [3, 7]), (4, [4, 7]), (7, [7])])
def test_the_canary_is_the_newest_beside_the_stable_one(workdir: Workdir, stable: int, versions: list[int]) -> None:
    set_stable(workdir, {"retrieval": stable})
    write_server_files(workdir, ExportConfig(models=("retrieval",)))
    written = workdir.server_file("canary_labels").read_text("utf-8")
    (config,) = text_format.Parse(written, ModelServerConfig()).model_config_list.config
    assert list(config.model_version_policy.specific.versions) == versions
    assert dict(config.version_labels) == {"stable": stable, "canary": 7}


def test_the_stable_version_outlives_newer_ones(workdir: Workdir) -> None:
    layout = workdir.model("retrieval")
    assert remove_old_versions(layout, keep=1, spared=[3]) == [4]
    assert layout.versions() == [3, 7]
