"""A dataset, a run and published models go to an object store and come back on another machine."""

import hashlib
import json
import shutil
from dataclasses import replace

import fsspec
import pytest

from features.disk.files import exclusive
from features.disk.manifest import Manifest
from features.disk.object_store import open_folder
from features.disk.uploads import LISTING_NAME
from features.errors import ConfigError
from recstack.__main__ import main
from recstack.config import load_config
from recstack.remote.config import RemoteConfig
from recstack.remote.transfer import push_dataset, push_run
from trainer.export.labels import stable_versions


@pytest.fixture
def url(request):
    memory, url = fsspec.filesystem("memory"), f"memory://{request.function.__name__}"
    yield url
    if memory.exists(url):
        memory.rm(url, recursive=True)


@pytest.fixture
def finished(tmp_path):
    """A dataset and a run that nobody has made."""
    stack = replace(load_config(None), workdir=tmp_path / "here")
    dataset, run = stack.layout.dataset, stack.layout.runs.run("r1")
    schema = stack.features.fingerprint()
    Manifest(kind="dataset", schema_fingerprint=schema, inputs={"table": "t"}).write(dataset.manifest)
    dataset.report.write_text("report", encoding="utf-8")
    Manifest(kind="run", schema_fingerprint=schema, inputs={"dataset": "d"}).write(run.stage("retrieval").manifest)
    (run.stage("retrieval").directory / "checkpoints").mkdir()
    (run.stage("retrieval").directory / "checkpoints" / "weights").write_bytes(bytes(range(256)))
    stack.layout.runs.current_file.write_text("r1\n", encoding="utf-8")
    return stack


@pytest.fixture
def run_verb(tmp_path, capsys):
    def run(stack, verb, *parts):
        path = tmp_path / "stack.toml"
        path.write_text(stack.to_toml(), encoding="utf-8")
        code = main([verb, "--config", str(path), "--json", *parts])
        output = capsys.readouterr()
        return code, json.loads(output.out) if code == 0 else " ".join(output.err.split())

    return run


def digests(folder):
    """The SHA-256 of each file but the listings."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LISTING_NAME]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_dataset_and_a_run_are_the_same_elsewhere(finished, url, tmp_path, run_verb):
    here = replace(finished, remote=RemoteConfig(url=url))
    there = replace(here, workdir=tmp_path / "there")
    assert run_verb(here, "push", "dataset", "run")[1]["nothing_to_do"] is False
    assert run_verb(here, "push", "dataset", "run")[1]["nothing_to_do"] is True
    assert run_verb(there, "pull", "dataset", "run")[1]["nothing_to_do"] is False
    assert run_verb(there, "pull", "dataset", "run")[1]["nothing_to_do"] is True
    assert there.layout.current_run.id == here.layout.current_run.id == "r1"
    assert there.layout.current_run.finished() == ("retrieval",)
    assert there.require_dataset() == here.require_dataset()
    for folder in ("dataset", "runs"):
        assert digests(there.workdir / folder) == digests(here.workdir / folder)


def test_a_changed_dataset_replaces_the_former_and_shared_files_stay(finished, url, tmp_path, monkeypatch):
    stack = replace(finished, workdir=tmp_path / "work", remote=RemoteConfig(url=url))
    shutil.copytree(finished.layout.dataset.root, stack.layout.dataset.root)
    push_dataset(stack, print)
    folder = open_folder(f"{url}/dataset")
    former = folder.sizes()
    put, written = folder.files.put_file, []

    def note(local, path, *arguments, **options):
        written.append(path.partition("/dataset/")[2])
        put(local, path, *arguments, **options)

    monkeypatch.setattr(folder.files, "put_file", note)
    stack.layout.dataset.report.write_text("another report", encoding="utf-8")
    push_dataset(stack, print)
    assert written == [stack.layout.dataset.report.name]
    assert folder.sizes().keys() == former.keys()
    assert folder.read(stack.layout.dataset.report.name) == b"another report"


def test_half_a_run_is_not_pulled(finished, url, tmp_path, run_verb):
    stack = replace(finished, remote=RemoteConfig(url=url))
    push_run(stack, print)
    open_folder(f"{url}/runs/{stack.layout.current_run.id}").remove([LISTING_NAME])
    code, error = run_verb(replace(stack, workdir=tmp_path / "there"), "pull", "run")
    assert code == 2
    assert "nothing complete is there; run `recstack push run`" in error
    assert not (tmp_path / "there" / "runs" / "current").exists()


def test_a_run_whose_stage_is_being_trained_is_not_replaced(finished, url, tmp_path, run_verb):
    stack = replace(finished, remote=RemoteConfig(url=url))
    push_run(stack, print)
    stage = stack.layout.current_run.stage("retrieval").directory
    (stage / "checkpoints" / "weights").write_bytes(b"further")
    with exclusive(stage, "recstack train"):
        code, error = run_verb(stack, "pull", "run")
    assert code == 2
    assert f"{stage}: another `recstack` is running there" in error
    assert (stage / "checkpoints" / "weights").read_bytes() == b"further"


def test_another_current_run_is_told(finished, url, run_verb):
    stack = replace(finished, remote=RemoteConfig(url=url))
    push_run(stack, [].append)
    stack.layout.runs.current_file.write_text("r2\n", encoding="utf-8")
    _, result = run_verb(stack, "pull", "run")
    assert result["changes"] == [f"{stack.layout.runs.current_file}: names r1"]
    assert stack.layout.current_run.id == "r1"


def test_an_empty_store_is_told(finished, url, tmp_path, run_verb):
    there = replace(finished, remote=RemoteConfig(url=url), workdir=tmp_path / "there")
    assert "no run found; run `recstack push run`" in run_verb(there, "pull", "run")[1]
    assert "run `recstack push dataset`" in run_verb(there, "pull", "dataset")[1]


@pytest.mark.parametrize(
    ("part", "field"), [("dataset", "remote.url"), ("run", "remote.url"), ("models", "export.publish_to")]
)
def test_a_store_has_to_be_configured(finished, run_verb, part, field):
    for verb in ("push", "pull"):
        code, error = run_verb(finished, verb, part)
        assert code == 2
        assert f"{field} = '': expected the URL of a folder in an object store" in error


def test_models_have_to_be_published_first(finished, url, run_verb):
    stack = replace(finished, export=replace(finished.export, models=("retrieval",), publish_to=f"{url}/models"))
    code, error = run_verb(stack, "push")
    assert code == 2
    assert "saved_models: no version of retrieval is published yet; run `recstack export`" in error


def test_a_store_is_a_url():
    with pytest.raises(ConfigError, match=r"remote.url = '/mnt'"):
        RemoteConfig(url="/mnt")


@pytest.fixture
def published(tmp_path, url, finished):
    """Two versions of one model, the first stable."""
    export = replace(finished.export, models=("retrieval",), publish_to=url)
    stack = replace(finished, workdir=tmp_path / "here", export=export)
    for version in (1, 2):
        manifest = Manifest(kind="saved_model", schema_fingerprint="s", inputs={"run": str(version)})
        manifest.write(stack.layout.model("retrieval").manifest(version))
    return stack


def test_promotion_and_rollback_reach_the_store_and_a_new_work_directory_goes_on_from_it(
    published, tmp_path, run_verb, url
):
    assert run_verb(published, "promote")[0] == 0
    there = replace(published, workdir=tmp_path / "there")
    code, error = run_verb(there, "push")
    assert code == 2
    assert "was not published from" in error
    assert run_verb(there, "pull")[0] == 0
    assert there.layout.model("retrieval").versions() == [1, 2]
    assert stable_versions(there.layout) == {"retrieval": 2}

    assert run_verb(there, "rollback")[0] == 0
    assert "3" in {name.split("/")[1] for name in open_folder(url).sizes() if name.startswith("retrieval/")}
    assert run_verb(there, "push")[1]["nothing_to_do"] is True
    code, error = run_verb(published, "push")  # it knows nothing of version 3
    assert code == 2
    assert "retrieval/3 was not published from" in error
