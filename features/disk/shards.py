"""Names of TFRecord shards."""

from pathlib import Path


def shard_name(index: int, total: int) -> str:
    """File name of one TFRecord shard, gzip compressed."""
    return f"part-{index:05d}-of-{total:05d}.tfrecord.gz"


def shards(directory: Path) -> list[Path]:
    """The TFRecord shards of a directory, in order."""
    return sorted(directory.glob("part-*.tfrecord.gz"))


def total_of(shard: Path) -> int:
    """Total number of shards, read from the name of one of them."""
    return int(shard.name.split("-of-")[1].split(".")[0])
