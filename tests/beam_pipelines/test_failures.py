"""What goes wrong under a run: one clear error, no dataset, nothing left behind, and the next run finishes."""

import gzip
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_pipelines.config import PipelineConfig, TableSource
from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import DatasetLayout
from features.errors import InputError, RecstackError
from features.schema import Schema
from tests.beam_pipelines.conftest import Prepared

_ROWS = [{"user_id": f"u{n % 50}", "item_id": f"i{n % 70}", "timestamp": n} for n in range(20_000)]


def write(path: Path) -> bytes:
    """A good table; its bytes."""
    if path.suffix == ".gz":
        lines = ["user_id,item_id,timestamp", *(",".join(map(str, row.values())) for row in _ROWS)]
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
    else:
        pq.write_table(pa.Table.from_pylist(_ROWS), path, write_page_checksum=True)
    return path.read_bytes()


def run(schema: Schema, source: Path, dataset: Path, progress: Callable[[str], None] = print) -> Prepared:
    config = PipelineConfig(interactions=TableSource(path=str(source)), report=False)
    layout = DatasetLayout(dataset)
    result = prepare_dataset(schema, config, layout, seed=1, progress=progress)
    return Prepared(result.manifest, result.nothing_to_do, layout)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, ids_only: Schema) -> dict[str, str]:
    """What a run gives that nothing befalls."""
    folder = tmp_path_factory.mktemp("expected")
    write(folder / "t.parquet")
    return run(ids_only, folder / "t.parquet", folder / "dataset").digests()


def rerun(schema: Schema, source: Path, place: Path) -> dict[str, str]:
    again = run(schema, source, place / "dataset")
    assert [path.name for path in place.iterdir()] == ["dataset"]
    return again.digests()


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def overwrite(data: bytes) -> bytes:
    return data[:100] + bytes(300) + data[400:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("t.csv.gz", cut, r"t\.csv\.gz: cannot be read as csv \(Truncated compressed stream"),
        ("t.parquet", overwrite, r"t\.parquet: cannot be read as parquet \(Corrupt"),
    ],
)
def test_a_damaged_file_ends_the_run(
    tmp_path: Path,
    ids_only: Schema,
    expected: dict[str, str],
    name: str,
    spoil: Callable[[bytes], bytes],
    message: str,
) -> None:
    good = write(tmp_path / name)
    (tmp_path / name).write_bytes(spoil(good))
    place = tmp_path / "out"
    with pytest.raises(InputError, match=message):
        run(ids_only, tmp_path / name, place / "dataset")
    assert list(place.iterdir()) == []
    (tmp_path / name).write_bytes(good)
    assert rerun(ids_only, tmp_path / name, place) == expected


def test_a_file_that_vanishes_ends_the_run(tmp_path: Path, ids_only: Schema, expected: dict[str, str]) -> None:
    source, place = tmp_path / "t.parquet", tmp_path / "out"
    good = write(source)

    def remove(told: str) -> None:
        if told.startswith("reading"):
            source.unlink()

    with pytest.raises(InputError, match=r"t\.parquet: the file is no longer there"):
        run(ids_only, source, place / "dataset", remove)
    assert list(place.iterdir()) == []
    source.write_bytes(good)
    assert rerun(ids_only, source, place) == expected


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path, ids_only: Schema, expected: dict[str, str]) -> None:
    source, place = tmp_path / "t.parquet", tmp_path / "out"
    write(source)

    def run_another(told: str) -> None:
        if told.startswith("sorting"):
            with pytest.raises(InputError, match="another `recstack prepare` is running there; wait until it ends"):
                run(ids_only, source, place / "dataset")

    assert run(ids_only, source, place / "dataset", run_another).digests() == expected
    assert [path.name for path in place.iterdir()] == ["dataset"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.slow
def test_a_full_disk_ends_the_run(
    tmp_path: Path,
    small_disk: Path,
    ids_only: Schema,
    expected: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = tmp_path / "t.parquet"
    write(source)
    with pytest.raises(RecstackError, match=r"no report of task \d below .*/disk: no space is left there"):
        run(ids_only, source, small_disk / "dataset")
    assert list(small_disk.iterdir()) == []
    assert not caplog.records
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert rerun(ids_only, source, small_disk) == expected


def test_a_job_service_that_does_not_answer_ends_the_run(tmp_path: Path, ids_only: Schema) -> None:
    write(tmp_path / "t.parquet")
    source = TableSource(path=str(tmp_path / "t.parquet"))
    config = PipelineConfig(interactions=source, runner="portable", runner_options=("--job_endpoint=127.0.0.1:1",))
    with pytest.raises(RecstackError, match=r"--job_endpoint=127\.0\.0\.1:1: no job service answers"):
        prepare_dataset(ids_only, config, DatasetLayout(tmp_path / "out" / "dataset"), seed=1)
    assert not list((tmp_path / "out").iterdir())
