"""Base paths in object stores: what is copied to this machine, and when."""

import json
import shutil
import threading
import time
from pathlib import Path

import fsspec
import pytest
from google.protobuf import text_format
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

from features.disk.files import in_use
from features.disk.object_store import open_folder
from features.disk.uploads import LISTING_NAME, remove, upload
from serving.config import ServerConfig
from serving.models.discovery import Poller
from serving.models.remote import cache_directory

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


class Store:
    """A base path in fsspec's store in memory, and pollers of it."""

    def __init__(self, url, tmp_path):
        self.folder, self._tmp_path = open_folder(url), tmp_path
        self.cache = tmp_path / "cache"

    def publish(self, *versions):
        for version in versions:
            source = self._tmp_path / "made" / str(version)
            source.mkdir(parents=True)
            (source / "saved_model.pb").write_bytes(b"graph %d" % version)
            upload(source, self.folder.below(str(version)))

    def remove(self, version):
        remove(self.folder.below(str(version)))

    def poll(self, policy="", config=None):
        """Looks once, as a server that has just started does; returns the content of what it finds, by version."""
        model = model_server_config_pb2.ModelConfig(name="m", base_path=self.folder.url)
        text_format.Parse(policy, model.model_version_policy)
        poller = Poller(config or self.config())
        found = poller.look({"m": model}).get("m")
        poller.stop()
        return found and {number: (Path(path) / "saved_model.pb").read_bytes() for number, path in found.items()}

    def config(self, seconds=0):
        return ServerConfig(remote_cache_directory=str(self.cache), file_system_poll_wait_seconds=seconds)

    def cached(self):
        (base,) = self.cache.iterdir()
        return sorted(path.name for path in base.iterdir())


@pytest.fixture
def store(request, tmp_path):
    memory, url = fsspec.filesystem("memory"), f"memory://{request.function.__name__}/models/retrieval"
    yield Store(url, tmp_path)
    if memory.exists(url):
        memory.rm(url, recursive=True)


def test_the_newest_complete_version_is_copied(store):
    store.publish(1, 2)
    store.folder.write("3/saved_model.pb", b"graph 3")  # without its listing
    assert store.poll() == {2: b"graph 2"}
    assert store.cached() == ["2"]


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("latest { num_versions: 2 }", [2, 3]), ("all {}", [1, 2, 3]), ("specific { versions: 1 versions: 9 }", [1])],
)
def test_the_policy_decides_what_is_copied(store, policy, wanted):
    store.publish(1, 2, 3)
    assert sorted(store.poll(policy)) == wanted
    assert store.cached() == [str(number) for number in wanted]


def test_what_the_policy_no_longer_wants_is_removed(store):
    store.publish(1)
    assert store.poll() == {1: b"graph 1"}
    store.publish(2)
    assert store.poll() == {2: b"graph 2"}
    assert store.cached() == ["2"]


def test_a_version_is_out_of_sight_before_it_is_removed(store, monkeypatch):
    store.publish(1)
    store.poll()
    store.publish(2)
    removed, rmtree = [], shutil.rmtree

    def note(path, *arguments, **options):
        removed.append((path.name[0], "1" in store.cached()))
        rmtree(path, *arguments, **options)

    monkeypatch.setattr("serving.models.remote.shutil.rmtree", note)
    store.poll()
    assert removed == [(".", False)]
    assert store.cached() == ["2"]


def test_a_version_that_another_server_here_uses_stays(store):
    store.publish(1)
    store.poll()
    (base,) = store.cache.iterdir()
    with in_use(base / "1"):
        store.publish(2)
        store.poll()
        assert store.cached() == ["1", "2"]
    store.poll()
    assert store.cached() == ["2"]


def test_removed_in_the_store_is_removed_here(store):
    store.publish(1, 2)
    store.poll("all {}")
    store.remove(1)
    assert sorted(store.poll("all {}")) == [2]
    assert store.cached() == ["2"]


def test_kept_versions_are_used_after_a_restart_without_copying(store, monkeypatch):
    store.publish(1)
    store.poll()
    monkeypatch.setattr(store.folder.files, "get_file", None)
    monkeypatch.setattr(store.folder.files, "get", None)
    assert store.poll() == {1: b"graph 1"}


def test_another_version_of_the_same_number_is_copied_anew(store, tmp_path):
    store.publish(1)
    store.poll()
    store.remove(1)
    shutil.rmtree(tmp_path / "made")
    (tmp_path / "made" / "1").mkdir(parents=True)
    (tmp_path / "made" / "1" / "saved_model.pb").write_bytes(b"another")
    upload(tmp_path / "made" / "1", store.folder.below("1"))
    assert store.poll() == {1: b"another"}


def test_without_the_store_what_is_here_is_served(store, monkeypatch, caplog):
    store.publish(1)
    store.poll()

    def fail(*arguments, **options):
        raise ConnectionError("refused")

    monkeypatch.setattr(store.folder.files, "find", fail)
    assert store.poll() == {1: b"graph 1"}
    assert "does not answer (refused)" in caplog.text
    assert "is served, polling goes on" in caplog.text


def test_a_damaged_version_counts_as_missing(store, caplog):
    store.publish(1, 2)
    store.folder.write("2/saved_model.pb", b"graph x")
    assert store.poll() == {1: b"graph 1"}
    assert store.cached() == ["1"]
    assert "2/saved_model.pb: damaged" in caplog.text


def test_what_a_killed_server_had_begun_to_copy_is_removed(store):
    store.publish(1)
    store.poll()
    (base,) = store.cache.iterdir()
    (base / ".2.tmp-1-abc").mkdir()
    store.poll()
    assert store.cached() == ["1"]


def test_a_server_that_polls_does_not_wait_for_the_store(store, monkeypatch):
    """The first look is made by a thread; until then nothing is known of the model, and nothing changes for it."""
    store.publish(1)
    model = model_server_config_pb2.ModelConfig(name="m", base_path=store.folder.url)
    answers, find = threading.Event(), store.folder.files.find

    def late(*arguments, **options):
        answers.wait(10)
        return find(*arguments, **options)

    monkeypatch.setattr(store.folder.files, "find", late)
    poller = Poller(store.config(seconds=1))
    try:
        assert poller.look({"m": model}) == {}
        answers.set()
        deadline = time.monotonic() + 60
        while not poller.look({"m": model}).get("m"):
            assert time.monotonic() < deadline, "the version was not copied"
            time.sleep(0.01)
    finally:
        poller.stop()
    assert store.cached() == ["1"]


def test_without_polling_each_new_configuration_looks_into_the_store(store):
    store.publish(1, 2)
    poller, policy = Poller(store.config(seconds=0)), Policy()
    model = model_server_config_pb2.ModelConfig(name="m", base_path=store.folder.url)
    assert list(poller.look({"m": model})["m"]) == [2]
    policy.specific.versions.append(1)
    model.model_version_policy.CopyFrom(policy)
    assert list(poller.look({"m": model})["m"]) == [1]
    store.publish(3)
    model.ClearField("model_version_policy")
    assert list(poller.look({"m": model})["m"]) == [3]


def test_a_model_that_is_no_longer_served_is_no_longer_looked_for(store):
    store.publish(1)
    model = model_server_config_pb2.ModelConfig(name="m", base_path=store.folder.url)
    poller = Poller(store.config(seconds=1))
    poller.look({"m": model})
    (follower,) = poller._remote._followers.values()
    poller.look({})
    assert follower._stopped
    assert not poller._remote._followers


def test_the_listing_is_kept_beside_the_version(store):
    store.publish(1)
    store.poll()
    (base,) = store.cache.iterdir()
    assert json.loads((base / "1" / LISTING_NAME).read_bytes()) == json.loads(store.folder.read(f"1/{LISTING_NAME}"))


def test_the_cache_lies_in_the_home_by_default(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory(ServerConfig()) == tmp_path / "recstack" / "served"
