"""Object stores by URL, on fsspec's store in memory."""

import fsspec
import pytest

from features.disk.object_store import is_url, open_folder, read_file
from features.errors import InputError, RecstackError


@pytest.fixture
def url(request):
    name = f"memory://{request.function.__name__}"
    yield name
    fsspec.filesystem("memory").rm(name, recursive=True) if fsspec.filesystem("memory").exists(name) else None


def test_urls_are_told_from_paths():
    assert is_url("s3://bucket/models")
    assert not is_url("/models")


def test_a_file_is_written_listed_read_and_removed(url, tmp_path):
    folder = open_folder(f"{url}/models/")
    folder.write("a/b.txt", b"three")
    folder.below("a").write("c", b"")
    assert folder.sizes() == {"a/b.txt": 5, "a/c": 0}
    assert folder.below("a").read("b.txt") == b"three"
    folder.download(["a/b.txt"], tmp_path)
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"three"
    folder.remove(["a/c", "a/never"])
    assert open_folder(url).sizes() == {"models/a/b.txt": 5}


def test_a_folder_that_is_not_there_is_empty(url):
    assert open_folder(f"{url}/nowhere").sizes() == {}


def test_a_similar_name_is_no_part_of_the_folder(url):
    open_folder(f"{url}/models-old").write("x", b"1")
    assert open_folder(f"{url}/models").sizes() == {}


def test_a_missing_file_is_the_callers_to_explain(url):
    with pytest.raises(FileNotFoundError):
        open_folder(url).read("nothing")


def test_files_here_and_there_are_read_by_one_function(url, tmp_path):
    (tmp_path / "x").write_bytes(b"here")
    open_folder(url).write("x", b"there")
    assert read_file(str(tmp_path / "x")) == b"here"
    assert read_file(f"{url}/x") == b"there"


def test_folders_of_this_machine_are_made(tmp_path):
    folder = open_folder(f"file://{tmp_path}/new")
    folder.write("a/x", b"1")
    assert folder.sizes() == {"a/x": 1}


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (FileNotFoundError("no bucket of that name"), InputError, "no such bucket .*; create it"),
        (PermissionError("Access Denied"), InputError, r"no permission \(Access Denied\); check the credentials"),
        (ConnectionError("refused"), RecstackError, r"does not answer \(refused\); check the endpoint"),
        (OSError("Unable to locate credentials"), InputError, "set the store's credentials in the environment"),
        (OSError(28, "No space left on device"), InputError, r"No space left on device\); make room on the disk"),
    ],
)
def test_errors_of_the_store_are_one_line_that_names_the_url(url, monkeypatch, error, kind, told):
    folder = open_folder(url)

    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(folder.files, "find", fail)
    with pytest.raises(kind, match=f"^{url}: .*{told}") as caught:
        folder.sizes()
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_mistakes_of_the_program_keep_their_type(url, monkeypatch):
    folder = open_folder(url)
    monkeypatch.setattr(folder.files, "find", None)
    with pytest.raises(TypeError):
        folder.sizes()


def test_a_library_that_is_not_installed_is_named_with_the_extra(monkeypatch):
    def missing(*arguments, **options):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(
        InputError, match=r"s3://b/m: the library for s3:// is not installed; pip install 'recstack\[s3\]'"
    ):
        open_folder("s3://b/m")
    with pytest.raises(InputError, match=r"abfs://b/m: .*install it \(Install s3fs"):
        open_folder("abfs://b/m")


@pytest.mark.parametrize("url", ["s3://", "s3:///", "gs:"])
def test_a_url_without_a_bucket_is_refused(url):
    with pytest.raises(InputError, match=f"^{url}: names no bucket"):
        open_folder(url)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(InputError, match=r"nope://b: .*nope; expected a URL such as s3://bucket/models"):
        open_folder("nope://b")
