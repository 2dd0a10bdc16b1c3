"""Intermediate files of the passes, in a folder of the unfinished dataset that is removed at the end.

On a cluster the folder must be on storage that all workers can access, like the dataset itself.
"""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from beam_pipelines.config.source import TableName


@dataclass(frozen=True)
class Workspace:
    """Paths of intermediate files; `root` exists."""

    root: Path

    def chunk(self, table: TableName, task: int, number: int) -> Path:
        """Validated rows, ordered by bucket."""
        return self.root / f"chunk-{table}-{task:05d}-{number:05d}.arrow"

    def events(self, partition: int) -> Path:
        """Events of the partition, ordered by user, time and item."""
        return self.root / f"events-{partition:05d}.arrow"

    def times(self, partition: int) -> Path:
        """Histogram of the partition's times."""
        return self.root / f"times-{partition:05d}.arrow"

    def users(self, partition: int) -> Path:
        """Users of the partition, in the order of the events."""
        return self.root / f"users-{partition:05d}.arrow"

    def counts(self, partition: int) -> Path:
        """Counts of values in the partition."""
        return self.root / f"counts-{partition:05d}.arrow"

    def core_counts(self, partition: int) -> Path:
        """Remaining events of each item in the partition, for the minimum counts."""
        return self.root / f"core-counts-{partition:05d}.arrow"

    def item_times_of(self, partition: int) -> Path:
        """Item, time and split of the partition's positive interactions."""
        return self.root / f"item-times-{partition:05d}.arrow"

    @property
    def item_times(self) -> Path:
        """Positive interactions of all partitions, ordered by item and time."""
        return self.root / "item-times.arrow"

    @property
    def item_names(self) -> Path:
        """The items of `item_times`."""
        return self.root / "item-names.arrow"

    @property
    def core(self) -> Path:
        """Items with too few events."""
        return self.root / "core.arrow"

    @property
    def train_items(self) -> Path:
        """Items with training events, and their number of events."""
        return self.root / "train-items.arrow"

    def result(self, name: str, task: int) -> Path:
        """Report of one task of a pass."""
        return self.root / f"result-{name}-{task:05d}.json"


def write_arrow(path: Path, table: pa.Table) -> None:
    """Writes an Arrow file with one record batch; a retry replaces the whole file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically. It is not synced to disk: after a crash of the machine the run restarts."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_text(text, "utf-8")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_arrow(path: Path) -> pa.Table:
    """Memory-maps a file of `write_arrow`."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()
