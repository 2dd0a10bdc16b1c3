"""Tables in object stores, on fsspec's store in memory: the same files and rows as on a disk."""

import io

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.sources.file_names import files_of
from beam_pipelines.sources.files import reported
from beam_pipelines.sources.opening import open_file, open_stream
from features.disk.object_store import find_files
from features.errors import InputError, RecstackError

FILES = {
    "dt=1/a.csv": b"x\n1\n",
    "dt=1/b.csv": b"x\n",
    "dt=2/a.csv": b"x\n2\n",
    "_SUCCESS": b"",
    "dt=1/.a.csv.crc": b"1",
}


@pytest.fixture
def url(request):
    memory, url = fsspec.filesystem("memory"), f"memory://{request.function.__name__}"
    for name, content in FILES.items():
        memory.pipe_file(f"{url}/log/{name}", content)
    memory.pipe_file(f"{url}/log-old/dt=1/a.csv", b"x\n")
    yield url
    memory.rm(url, recursive=True)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("log/dt=1/a.csv", ["dt=1/a.csv"]),
        ("log", ["dt=1/a.csv", "dt=1/b.csv", "dt=2/a.csv"]),
        ("log/", ["dt=1/a.csv", "dt=1/b.csv", "dt=2/a.csv"]),
        ("log/dt=*/a.csv", ["dt=1/a.csv", "dt=2/a.csv"]),
        ("log/**/*.csv", ["dt=1/a.csv", "dt=1/b.csv", "dt=2/a.csv"]),
        ("log/dt=*", ["dt=1/a.csv", "dt=1/b.csv", "dt=2/a.csv"]),
        ("log/**", ["dt=1/a.csv", "dt=1/b.csv", "dt=2/a.csv"]),
        ("log/dt=7", []),
    ],
)
def test_a_file_a_folder_and_patterns(url, path, names):
    found = files_of(f"{url}/{path}")
    assert [file.path for file in found] == [f"{url}/log/{name}" for name in names]
    assert [file.size for file in found] == [len(FILES[name]) for name in names]
    assert all(file.modified > 0 for file in found)


def test_files_of_a_mounted_folder_by_its_url(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    (found,) = find_files(f"file://{tmp_path}")
    assert (found.url, found.size, found.modified) == (
        f"file://{tmp_path}/a.csv",
        1,
        (tmp_path / "a.csv").stat().st_mtime,
    )


def test_rows_are_read_from_the_beginning_and_at_random_places(url):
    assert open_stream(f"{url}/log/dt=2/a.csv").read() == b"x\n2\n"
    table, data = pa.table({"x": list(range(1000))}), io.BytesIO()
    pq.write_table(table, data, row_group_size=100)
    fsspec.filesystem("memory").pipe_file(f"{url}/t.parquet", data.getvalue())
    with open_file(f"{url}/t.parquet") as file:
        assert pq.ParquetFile(file).read_row_group(7).to_pydict() == {"x": list(range(700, 800))}


def test_a_file_that_is_gone(url):
    with pytest.raises(InputError, match=r"gone\.csv: the file is no longer there"), reported(f"{url}/gone.csv", "csv"):
        open_file(f"{url}/gone.csv")


def test_a_network_that_fails_while_a_file_is_read_is_no_fault_of_the_file(url):
    lost = type("EndpointConnectionError", (Exception,), {"__module__": "botocore.exceptions"})
    for error in (lost("gone"), TimeoutError("gone"), ConnectionResetError("gone")):
        with pytest.raises(RecstackError, match=r"not answer \(gone\)") as caught, reported(f"{url}/a.csv", "csv"):
            raise error
        assert not isinstance(caught.value, InputError)
    with pytest.raises(InputError, match="cannot be read as csv"), reported(f"{url}/a.csv", "csv"):
        raise pa.ArrowInvalid("column 2")
