"""Shards are found by their names."""

from pathlib import Path

from features.disk.shards import shard_name, shards


def test_shards_are_listed_in_order_and_nothing_else(tmp_path: Path) -> None:
    expected = [tmp_path / shard_name(index, 3) for index in range(3)]
    for path in [*reversed(expected), tmp_path / "manifest.json"]:
        path.touch()
    assert shards(tmp_path) == expected
