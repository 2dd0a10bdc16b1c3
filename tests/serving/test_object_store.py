"""SavedModels are published to an S3 server and served from it, also while publishers are killed."""

import random
import subprocess
import sys
import time

import numpy as np
import pytest

from features.disk.layout import Workdir
from features.disk.manifest import Manifest
from features.disk.object_store import open_folder
from features.disk.uploads import complete_listing
from features.errors import InputError, RecstackError
from serving.models.states import State
from tests.servers.object_store import BUCKET, s3_server
from tests.serving.conftest import save_affine
from trainer.config.export import ExportConfig
from trainer.export.labels import set_stable
from trainer.export.mirror import settle_models
from trainer.export.publish import remove_old_versions

pytestmark = pytest.mark.slow
KILLS = 12
# So an upload takes a while, and a kill finds it at work.
BALLAST_BYTES = 3_000_000
PUSH = """
import sys
from pathlib import Path
from features.disk.layout import Workdir
from trainer.config.export import ExportConfig
from trainer.export.mirror import push_models
from features.disk.object_store import open_folder
open_folder(sys.argv[2]).sizes()  # libraries are imported and the server has answered
print("begins", flush=True)
push_models(Workdir(Path(sys.argv[1])), ExportConfig(models=("retrieval",), publish_to=sys.argv[2]), print)
print("ends", flush=True)
"""


@pytest.fixture(scope="module")
def bucket():
    with s3_server() as folder:
        yield folder


@pytest.fixture
def export(request, bucket):
    return ExportConfig(models=("retrieval",), publish_to=f"s3://{BUCKET}/{request.function.__name__}")


def publish(workdir, version):
    """A version whose model answers x / 2 + version."""
    layout = workdir.model("retrieval")
    layout.base.mkdir(parents=True, exist_ok=True)
    save_affine(layout.version(version), float(version))
    for part in range(4):
        ballast = np.random.default_rng(4 * version + part).bytes(BALLAST_BYTES)
        (layout.version(version) / f"ballast-{part}").write_bytes(ballast)
    Manifest(kind="saved_model", schema_fingerprint="s", inputs={"n": str(version)}).write(layout.manifest(version))


def flags(export, cache):
    return {
        "model_config_file": f"{export.publish_to}/server/canary_labels.config",
        "model_config_file_poll_wait_seconds": 1,
        "allow_version_labels_for_unavailable_models": True,
        "remote_cache_directory": str(cache),
        "remote_poll_wait_seconds": 0.1,
    }


def answer(client, label=""):
    request = client.request("retrieval", x=np.zeros(1, np.float32))
    if label:
        request.model_spec.version_label = label
    return float(client.prediction.Predict(request, timeout=60).outputs["y"].float_val[0])


def test_versions_labels_and_removals_reach_a_server_through_the_store(export, tmp_path, start_server):
    workdir = Workdir(tmp_path / "work")
    publish(workdir, 1)
    settle_models(workdir, export, print)
    client = start_server(**flags(export, tmp_path / "cache"))
    assert answer(client) == 1.0

    publish(workdir, 2)
    set_stable(workdir, {"retrieval": 1})
    settle_models(workdir, export, print)
    client.wait_until(lambda: [answer(client, label) for label in ("stable", "canary")] == [1.0, 2.0])

    set_stable(workdir, {"retrieval": 2})
    settle_models(workdir, export, print)
    client.wait_until(lambda: answer(client, "stable") == 2.0)
    client.wait_until(lambda: client.states("retrieval")[1] == State.END)
    remove_old_versions(workdir.model("retrieval"), keep=1)
    settle_models(workdir, export, print)
    (cached,) = (tmp_path / "cache").iterdir()
    client.wait_until(lambda: [path.name for path in cached.iterdir()] == ["2"])
    assert answer(client) == 2.0


def test_a_server_starts_from_its_cache_and_takes_what_came_meanwhile(export, tmp_path, running_server):
    workdir, cache = Workdir(tmp_path / "work"), tmp_path / "cache"
    publish(workdir, 1)
    settle_models(workdir, export, print)
    base = {"model_name": "retrieval", "model_base_path": f"{export.publish_to}/retrieval"}
    server_flags = base | {"remote_cache_directory": str(cache), "remote_poll_wait_seconds": 0.1}
    with running_server(**server_flags) as client:
        assert answer(client) == 1.0
    (copy,) = cache.glob("*/1/saved_model.pb")
    written = copy.stat().st_ino
    publish(workdir, 2)
    settle_models(workdir, export, print)
    with running_server(**server_flags) as client:
        client.wait_until(lambda: answer(client) == 2.0)
    assert not copy.exists() or copy.stat().st_ino == written


def test_publishers_that_are_killed_at_random_moments(export, tmp_path, start_server):
    """The server loads whole versions only, and each next run finishes what the killed one began."""
    workdir, dice = Workdir(tmp_path / "work"), random.Random(17)
    layout = workdir.model("retrieval")
    publish(workdir, 1)
    settle_models(workdir, export, print)
    server_flags = {"model_name": "retrieval", "model_base_path": f"{export.publish_to}/retrieval"}
    client = start_server(
        **server_flags,
        remote_cache_directory=str(tmp_path / "cache"),
        remote_poll_wait_seconds=0.1,
        max_num_load_retries=0,
    )
    publish(workdir, 2)
    seconds = push(workdir, export)
    assert seconds is not None
    client.wait_until(lambda: answer(client) == 2.0)
    for version in range(3, 3 + KILLS):
        publish(workdir, version)
        remove_old_versions(layout, keep=2)
        push(workdir, export, after=dice.uniform(0, seconds))
        store = open_folder(f"{export.publish_to}/retrieval/{version}")
        if complete_listing(store) is None:  # a part of the version is there, wherever the kill found the upload
            store.upload(["saved_model.pb", "ballast-0"], layout.version(version))
        assert answer(client) in (float(version - 1), float(version))
        push(workdir, export)
        assert complete_listing(store) is not None
        client.wait_until(lambda number=version: answer(client) == float(number))
    assert all(status.code.name == "OK" for status in client.server.board.of("retrieval").values())
    remote = {name.partition("/")[0] for name in open_folder(f"{export.publish_to}/retrieval").sizes()}
    assert remote == set(map(str, layout.versions()))


def push(workdir, export, after=None):
    """Publishes in a process of its own; returns the seconds that took, or kills it after so many."""
    command = [sys.executable, "-c", PUSH, str(workdir.root), export.publish_to]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begins\n"
        began = time.monotonic()
        if after is not None:
            time.sleep(after)
            process.kill()
            return None
        lines = process.stdout.read().splitlines()
        assert lines[-1] == "ends"
        return time.monotonic() - began


def test_troubles_are_one_line_each(bucket, tmp_path, monkeypatch):
    import s3fs

    with pytest.raises(InputError, match=r"^s3://nowhere/m: no such bucket \(.*\); create it or correct the URL$"):
        open_folder("s3://nowhere/m").sizes()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=r"^s3://bucket/m: no permission \(.*\); check the credentials"):
        open_folder("s3://bucket/m").sizes()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RecstackError, match=r"^s3://bucket/m: the store does not answer \(.*127.0.0.1:9.*\); check"):
        open_folder("s3://bucket/m").sizes()
    s3fs.S3FileSystem.clear_instance_cache()
