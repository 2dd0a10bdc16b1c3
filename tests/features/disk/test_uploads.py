"""Folders in an object store appear whole or not at all."""

import json

import fsspec
import pytest

from features.disk.object_store import open_folder
from features.disk.uploads import (
    LISTING_NAME,
    DamagedError,
    complete_listing,
    download,
    downloaded_listing,
    folders_in,
    is_same,
    remove,
    upload,
)
from features.errors import InputError, RecstackError

FILES = {"saved_model.pb": b"graph", "variables/data": b"1234567890", "assets.extra/manifest.json": b"{}"}


@pytest.fixture
def folder(request):
    memory, url = fsspec.filesystem("memory"), f"memory://{request.function.__name__}"
    yield open_folder(f"{url}/7")
    if memory.exists(url):
        memory.rm(url, recursive=True)


@pytest.fixture
def source(tmp_path):
    for name, content in FILES.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(content)
    return tmp_path / "source"


def content(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_there_and_back(folder, source, tmp_path):
    assert upload(source, folder)
    listing = complete_listing(folder)
    assert {name: file.size for name, file in listing.items()} == {name: len(data) for name, data in FILES.items()}
    download(folder, listing, tmp_path / "copy")
    kept = content(tmp_path / "copy")
    assert kept.pop(LISTING_NAME)
    assert kept == FILES
    assert downloaded_listing(tmp_path / "copy") == listing
    assert is_same(tmp_path / "copy", listing)


def test_a_second_upload_has_nothing_to_do(folder, source):
    upload(source, folder)
    assert not upload(source, folder)


def test_the_listing_is_written_last(folder, source, monkeypatch):
    """After any number of written files but all, no reader sees the folder."""
    written = []
    pipe, put = folder.files.pipe_file, folder.files.put_file

    def note(path, *arguments, **options):
        assert complete_listing(folder) is None
        written.append(path)
        return pipe(path, *arguments, **options)

    def note_put(local, path, *arguments, **options):
        assert complete_listing(folder) is None
        written.append(path)
        return put(local, path, *arguments, **options)

    monkeypatch.setattr(folder.files, "pipe_file", note)
    monkeypatch.setattr(folder.files, "put_file", note_put)
    upload(source, folder)
    assert len(written) == len(FILES) + 1
    assert written[-1].endswith(LISTING_NAME)
    assert complete_listing(folder) is not None


def test_the_listing_is_removed_first(folder, source, monkeypatch):
    upload(source, folder)
    rm = folder.files.rm_file
    removed = []

    def note(path):
        rm(path)
        removed.append(path)
        assert complete_listing(folder) is None

    monkeypatch.setattr(folder.files, "rm_file", note)
    remove(folder)
    assert len(removed) == len(FILES) + 1
    assert folder.sizes() == {}


@pytest.mark.parametrize("harm", ["gone", "shorter"])
def test_a_folder_with_a_file_missing_or_of_another_size_is_not_there_and_is_mended(folder, source, harm):
    upload(source, folder)
    if harm == "gone":
        folder.remove(["variables/data"])
    else:
        folder.write("variables/data", b"1234")
    assert complete_listing(folder) is None
    assert upload(source, folder)
    assert complete_listing(folder) is not None


def test_an_interrupted_upload_is_finished_and_cleared_of_what_does_not_belong(folder, source):
    folder.write("saved_model.pb", b"gra")
    folder.write("of an earlier try", b"x")
    assert upload(source, folder)
    assert set(folder.sizes()) == {*FILES, LISTING_NAME}
    assert complete_listing(folder) is not None


def test_another_folder_of_the_name_is_not_overwritten(folder, source):
    upload(source, folder)
    (source / "assets.extra" / "manifest.json").write_bytes(b"[]")  # as long, and another
    with pytest.raises(InputError, match="holds something else"):
        upload(source, folder)
    assert folder.read("assets.extra/manifest.json") == b"{}"


def test_damage_is_found_and_nothing_appears(folder, source, tmp_path):
    upload(source, folder)
    folder.write("variables/data", b"123456789x")
    with pytest.raises(DamagedError, match="variables/data: damaged"):
        download(folder, complete_listing(folder), tmp_path / "copies" / "7")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_folder_that_is_removed_while_it_is_read(folder, source, tmp_path):
    upload(source, folder)
    listing = complete_listing(folder)
    remove(folder)
    with pytest.raises(RecstackError, match="was removed while it was read"):
        download(folder, listing, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_disk_without_room_is_told_before_the_download(folder, source, tmp_path, monkeypatch):
    upload(source, folder)
    monkeypatch.setattr("features.disk.uploads.shutil.disk_usage", lambda path: type("Usage", (), {"free": 16}))
    with pytest.raises(InputError, match=r"17 bytes needed for .*, 16 free"):
        download(folder, complete_listing(folder), tmp_path / "copy")


@pytest.mark.parametrize(("name", "is_taken"), [("in/side", True), ("../outside", False), ("/etc/outside", False)])
def test_a_listing_cannot_write_outside_the_folder(folder, name, is_taken):
    """Stores take such names for any other; here the file of that name is in the store."""
    folder.write(LISTING_NAME, json.dumps({"format_version": 1, "files": {name: {"size": 0, "sha256": ""}}}).encode())
    folder.write(name, b"")
    sizes = {name: 0, LISTING_NAME: 1}
    assert (complete_listing(folder, sizes) is not None) == is_taken


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"format_version": 9, "files": {}}',
        b'{"format_version": 1, "files": {"x": {"size": 1e999, "sha256": ""}}}',
    ],
)
def test_a_damaged_listing_is_none(folder, text):
    folder.write(LISTING_NAME, text)
    assert complete_listing(folder) is None


def test_folders_are_told_apart():
    assert folders_in({"1/a": 3, "1/b/c": 4, "10/a": 5, "top": 6}) == {"1": {"a": 3, "b/c": 4}, "10": {"a": 5}}
