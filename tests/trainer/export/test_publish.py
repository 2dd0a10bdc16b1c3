"""A version appears whole, under the next number, or not at all."""

import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from features.disk.exported import ModelLayout
from features.errors import InputError
from trainer.export.publish import discard, remove_old_versions, staging
from trainer.export.publish import publish as publish_staged


def publish(base: Path, content: str = "x") -> int:
    with staging(ModelLayout(base)) as staged:
        (staged.directory / "saved_model.pb").write_text(content)
    return publish_staged(staged)


def names(base: Path) -> list[str]:
    return sorted(path.name for path in base.iterdir())


def test_versions_count_up_from_the_largest(tmp_path: Path) -> None:
    assert [publish(tmp_path / "m"), publish(tmp_path / "m")] == [1, 2]
    (tmp_path / "m" / "00000041").mkdir()
    assert publish(tmp_path / "m") == 42


def test_a_staged_version_is_invisible_until_it_is_published(tmp_path: Path) -> None:
    layout = ModelLayout(tmp_path / "m")
    with staging(layout) as staged:
        (staged.directory / "saved_model.pb").touch()
        assert layout.versions() == []
    assert layout.versions() == []
    assert publish_staged(staged) == 1
    assert layout.versions() == [1]
    assert names(layout.base) == ["1"]


def test_a_staged_version_that_is_discarded_leaves_nothing(tmp_path: Path) -> None:
    layout = ModelLayout(tmp_path / "m")
    with staging(layout) as staged:
        (staged.directory / "saved_model.pb").touch()
    discard(staged)
    assert names(layout.base) == []


def fail_half_way(base: Path) -> None:
    with staging(ModelLayout(base)) as staged:
        (staged.directory / "half").touch()
        raise OSError(28, "No space left on device")


def test_failure_leaves_the_published_versions_and_nothing_else(tmp_path: Path) -> None:
    publish(tmp_path / "m")
    with pytest.raises(OSError, match="No space"):
        fail_half_way(tmp_path / "m")
    assert names(tmp_path / "m") == ["1"]


def _hang(base: Path, started: "multiprocessing.synchronize.Event") -> None:
    with staging(ModelLayout(base)) as staged:
        (staged.directory / "half").touch()
        started.set()
        time.sleep(60)


def test_what_a_killed_exporter_left_is_removed_by_the_next(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_hang, args=(tmp_path / "m", started))
    process.start()
    assert started.wait(30)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert len(names(tmp_path / "m")) == 1
    assert publish(tmp_path / "m") == 1
    assert names(tmp_path / "m") == ["1"]


def test_exporters_at_once_get_a_version_each(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        versions = pool.map(publish, [tmp_path / "m"] * 12)
    assert sorted(versions) == list(range(1, 13))


def test_only_the_newest_versions_are_kept(tmp_path: Path) -> None:
    for _ in range(5):
        publish(tmp_path / "m")
    assert remove_old_versions(ModelLayout(tmp_path / "m"), keep=2) == [1, 2, 3]
    assert names(tmp_path / "m") == ["4", "5"]


def test_base_path_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        publish(tmp_path / "file" / "m")


def test_exporters_that_prune_at_once_do_not_stumble_over_each_other(tmp_path: Path) -> None:
    layout = ModelLayout(tmp_path / "m")
    for _ in range(4):
        publish(layout.base)
    real, removed_by_other = Path.rename, []

    def lose_the_race(path: Path, target: Path) -> Path:
        if path == layout.version(1) and not removed_by_other:
            removed_by_other.append(1)
            shutil.rmtree(path)
        return real(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "rename", lose_the_race)
        assert remove_old_versions(layout, keep=2) == [2]
    assert names(layout.base) == ["3", "4"]
