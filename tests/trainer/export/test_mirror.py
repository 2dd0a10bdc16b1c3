"""The published models in an object store, here fsspec's store in memory."""

import json
import shutil

import fsspec
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from features.disk.layout import Workdir
from features.disk.manifest import Manifest
from features.disk.object_store import open_folder
from features.disk.uploads import LISTING_NAME, complete_listing
from features.errors import ConfigError, InputError, RecstackError
from trainer.config.export import ExportConfig
from trainer.export.labels import set_stable
from trainer.export.mirror import check_store, push_models, settle_models
from trainer.export.rollback import roll_back


@pytest.fixture
def store(request):
    memory, url = fsspec.filesystem("memory"), f"memory://{request.function.__name__}/models"
    yield open_folder(url)
    if memory.exists(url):
        memory.rm(url, recursive=True)


@pytest.fixture
def export(store):
    return ExportConfig(models=("retrieval",), publish_to=store.url)


def publish(workdir, *versions):
    for version in versions:
        directory = workdir.model("retrieval").version(version)
        directory.mkdir(parents=True)
        (directory / "saved_model.pb").write_bytes(b"graph %d" % version)
        manifest = Manifest(kind="saved_model", schema_fingerprint="s", inputs={"run": str(version)})
        manifest.write(workdir.model("retrieval").manifest(version))


@pytest.fixture
def workdir(tmp_path):
    workdir = Workdir(tmp_path / "work")
    publish(workdir, 1, 2)
    return workdir


def complete(store):
    base = store.below("retrieval")
    names = {name.partition("/")[0] for name in base.sizes()}
    return sorted(int(name) for name in names if complete_listing(base.below(name)) is not None)


def told():
    lines = []
    return lines, lines.append


def test_versions_and_files_for_servers_are_copied(workdir, export, store):
    lines, tell = told()
    set_stable(workdir, {"retrieval": 1})
    settle_models(workdir, export, tell)
    assert complete(store) == [1, 2]
    assert len(lines) == 2
    assert json.loads(store.read("stable.json")) == {"retrieval": 1}
    for name in ("models.config", "server/canary_labels.config"):
        (config,) = text_format.Parse(store.read(name), ModelServerConfig()).model_config_list.config
        assert config.base_path == f"{store.url}/retrieval"
    assert dict(config.version_labels) == {"stable": 1, "canary": 2}


def test_the_second_time_there_is_nothing_to_do(workdir, export, store):
    push_models(workdir, export, print)
    lines, tell = told()
    push_models(workdir, export, tell)
    assert lines == []


def test_what_is_removed_here_is_removed_there_once_its_successor_is_complete(workdir, export, store):
    push_models(workdir, export, print)
    shutil.rmtree(workdir.model("retrieval").version(1))
    publish(workdir, 3)
    push_models(workdir, export, print)
    assert complete(store) == [2, 3]


def test_a_rollback_is_a_new_version_there_too(workdir, export, store):
    push_models(workdir, export, print)
    assert roll_back(workdir.model("retrieval"), 1) == 3
    push_models(workdir, export, print)
    assert store.read("retrieval/3/saved_model.pb") == b"graph 1"
    assert complete(store) == [1, 2, 3]


@pytest.mark.parametrize("left", ["half a version", "a version half removed"])
def test_what_a_killed_process_left_is_finished_or_removed(workdir, export, store, left):
    if left == "half a version":
        store.write("retrieval/2/saved_model.pb", b"gra")
        store.write("retrieval/2/variables/other", b"")
        expected = [1, 2]
    else:
        push_models(workdir, export, print)
        shutil.rmtree(workdir.model("retrieval").version(1))
        store.remove([f"retrieval/1/{LISTING_NAME}"])
        expected = [2]
    push_models(workdir, export, print)
    assert complete(store) == expected
    assert {name.partition("/")[0] for name in store.below("retrieval").sizes()} == set(map(str, expected))
    assert "retrieval/2/variables/other" not in store.sizes()


@pytest.mark.parametrize("versions", [(1, 2), (3,), (9,)])
def test_versions_of_another_work_directory_are_neither_overwritten_nor_removed(
    workdir, export, store, tmp_path, versions
):
    other = Workdir(tmp_path / "other")
    publish(other, *versions)
    (other.model("retrieval").version(versions[-1]) / "saved_model.pb").write_bytes(b"theirs")
    push_models(other, export, print)
    before = store.sizes()
    with pytest.raises(InputError, match=rf"{store.url}/retrieval/{versions[-1]} was not published from"):
        check_store(workdir, export)
    with pytest.raises(InputError, match="choose another URL"):
        push_models(workdir, export, print)
    assert store.sizes() == before


@pytest.mark.parametrize("is_pushed_elsewhere", [False, True])
def test_lower_versions_of_another_work_directory_are_not_taken_for_removed_ones(
    workdir, export, store, tmp_path, is_pushed_elsewhere
):
    if is_pushed_elsewhere:
        push_models(workdir, ExportConfig(models=("retrieval",), publish_to=f"{store.url}/elsewhere"), print)
    shutil.rmtree(workdir.model("retrieval").version(1))
    other = Workdir(tmp_path / "other")
    publish(other, 1)
    push_models(other, export, print)
    before = store.sizes()
    for call in (lambda: check_store(workdir, export), lambda: push_models(workdir, export, print)):
        with pytest.raises(InputError, match=rf"{store.url}/retrieval/1 was not published from"):
            call()
    assert store.sizes() == before


def test_before_the_first_publication_nothing_is_written(export, store, tmp_path):
    push_models(Workdir(tmp_path / "new"), export, print)
    assert store.sizes() == {}


def test_without_a_store_nothing_happens(workdir):
    push_models(workdir, ExportConfig(models=("retrieval",)), print)
    check_store(workdir, ExportConfig())


def test_a_store_that_fails_leaves_the_local_models_and_names_the_command(workdir, export, store, monkeypatch):
    def fail(*arguments, **options):
        raise ConnectionError("refused")

    with monkeypatch.context() as broken:
        broken.setattr(store.files, "put_file", fail)
        broken.setattr(store.files, "pipe_file", fail)
        with pytest.raises(RecstackError, match=r"refused.*saved_models is complete; run `recstack push`"):
            settle_models(workdir, export, print)
    assert workdir.model_config.exists()
    assert complete(store) == []
    push_models(workdir, export, print)
    assert complete(store) == [1, 2]


def test_files_for_servers_come_after_the_versions_that_they_name(workdir, export, store, monkeypatch):
    pipe, written = store.files.pipe_file, []

    def note(path, *arguments, **options):
        written.append(path.rpartition("/")[2])
        pipe(path, *arguments, **options)

    monkeypatch.setattr(store.files, "pipe_file", note)
    push_models(workdir, export, print)
    last_listing = max(place for place, name in enumerate(written) if name == LISTING_NAME)
    assert last_listing < written.index("models.config")


def test_a_folder_that_is_mounted_is_a_store_too(workdir, tmp_path):
    url = f"file://{tmp_path}/mounted/models"
    push_models(workdir, ExportConfig(models=("retrieval",), publish_to=url), print)
    assert complete(open_folder(url)) == [1, 2]
    assert f"{url}/retrieval" in (tmp_path / "mounted" / "models" / "models.config").read_text("utf-8")


@pytest.mark.parametrize("value", ["/models", "models", "s3://", "file:///", "S3:bucket"])
def test_only_urls_are_stores(value):
    with pytest.raises(ConfigError, match="publish_to"):
        ExportConfig(publish_to=value)
