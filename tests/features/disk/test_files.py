import os
from pathlib import Path

import pytest

from features.disk.files import (
    exclusive,
    make_directory,
    remove_leftovers,
    staged_directory,
    temporary_sibling,
    write_text_atomically,
)
from features.errors import InputError


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def fail_half_way(final: Path) -> None:
    with staged_directory(final) as staging:
        (staging / "half").touch()
        raise KeyError("half way")


def test_staged_directory_replaces_the_old_one_whole(tmp_path: Path) -> None:
    final = tmp_path / "dataset"
    for content in ("old", "new"):
        with staged_directory(final) as staging:
            (staging / content).write_text(content)
            assert final.exists() is (content == "new")
    assert names(final) == ["new"]
    assert names(tmp_path) == ["dataset"]


def test_failure_leaves_the_old_directory_and_no_left_over(tmp_path: Path) -> None:
    final = tmp_path / "dataset"
    with staged_directory(final) as staging:
        (staging / "old").touch()
    with pytest.raises(KeyError, match="half way"):
        fail_half_way(final)
    assert names(final) == ["old"]
    assert names(tmp_path) == ["dataset"]


def test_left_overs_of_dead_processes_are_removed_and_of_living_ones_kept(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".dataset.tmp-4194999-ab", tmp_path / ".dataset.tmp-1-ab"
    dead.mkdir()
    alive.mkdir()
    remove_leftovers(tmp_path / "dataset")
    assert names(tmp_path) == [".dataset.tmp-1-ab"]


def test_left_overs_of_another_machine_are_kept_for_a_day(tmp_path: Path) -> None:
    # No process of this machine has such a number, but one of the machine that wrote the name may.
    fresh, old = tmp_path / f".dataset.tmp-4194999-{'0' * 16}", tmp_path / f".dataset.tmp-4194999-{'1' * 16}"
    for directory in (fresh, old):
        directory.mkdir()
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path / "dataset")
    assert names(tmp_path) == [fresh.name]


def test_temporary_names_of_this_process_are_kept(tmp_path: Path) -> None:
    mine = temporary_sibling(tmp_path / "dataset")
    mine.mkdir()
    remove_leftovers(tmp_path / "dataset")
    assert names(tmp_path) == [mine.name]


def test_directory_that_was_being_replaced_when_its_writer_died_comes_back(tmp_path: Path) -> None:
    old, new = tmp_path / ".dataset.tmp-4194999-old-ab", tmp_path / ".dataset.tmp-4194999-cd"
    for directory in (old, new):
        directory.mkdir()
    (old / "vocabulary").touch()
    remove_leftovers(tmp_path / "dataset")
    assert names(tmp_path) == ["dataset"]
    assert names(tmp_path / "dataset") == ["vocabulary"]


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_directory_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        make_directory(tmp_path / "file" / "below")


def test_directory_is_kept_to_one_worker_until_it_ends(tmp_path: Path) -> None:
    directory = tmp_path / "runs" / "retrieval"
    with (
        exclusive(directory, "recstack train"),
        pytest.raises(InputError, match="another `recstack train`"),
        exclusive(directory, "recstack train"),
    ):
        pass
    with exclusive(directory, "recstack train"):
        assert names(directory) == []
