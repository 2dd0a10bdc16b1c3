import json
from pathlib import Path

import pytest

from features.disk.manifest import (
    FORMAT_VERSION,
    Manifest,
    finished_with,
    producer_versions,
    read_manifest,
    require_schema,
)
from features.errors import InputError

MANIFEST = Manifest(
    kind="dataset",
    schema_fingerprint="0123456789abcdef",
    inputs={"config": "aa", "files": "bb"},
    counts={"users": 3},
    metrics={"nested": {"recall@10": 0.5}},
    seconds=1.5,
)


def test_write_then_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    MANIFEST.write(path)
    assert read_manifest(path, "dataset") == MANIFEST


def test_fingerprint_is_of_the_inputs_not_of_the_time(tmp_path: Path) -> None:
    slower = Manifest(kind="dataset", schema_fingerprint="0123456789abcdef", inputs=MANIFEST.inputs, seconds=9.0)
    other = Manifest(kind="dataset", schema_fingerprint="0123456789abcdef", inputs={"config": "ab"})
    assert slower.fingerprint() == MANIFEST.fingerprint() != other.fingerprint()


def test_finished_only_with_the_same_inputs(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert finished_with(path, "dataset", MANIFEST.inputs) is None
    MANIFEST.write(path)
    assert finished_with(path, "dataset", {"files": "bb", "config": "aa"}) == MANIFEST
    assert finished_with(path, "dataset", {"config": "aa"}) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 99}, [f"format_version {FORMAT_VERSION} expected, 99 found", "recstack prepare"]),
        ({"kind": "run"}, ["'dataset' expected", "'run' found"]),
        ({"colour": "red"}, ["colour", "recstack prepare"]),
        ({"inputs": 3}, ["inputs", "recstack prepare"]),
    ],
)
def test_manifest_that_does_not_fit_is_refused(tmp_path: Path, change: dict, words: list[str]) -> None:
    path = tmp_path / "manifest.json"
    MANIFEST.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError) as caught:
        read_manifest(path, "dataset")
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "{", "[]"])
def test_missing_or_broken_file_names_the_command(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "manifest.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match="recstack prepare"):
        read_manifest(path, "dataset")


def test_other_schema_is_refused(tmp_path: Path) -> None:
    require_schema(MANIFEST, "0123456789abcdef", tmp_path / "manifest.json")
    with pytest.raises(InputError, match="schema ffff expected, 0123456789abcdef found"):
        require_schema(MANIFEST, "ffff", tmp_path / "manifest.json")


def test_producer_versions_name_recstack_first() -> None:
    assert next(iter(producer_versions("numpy"))) == "recstack"
