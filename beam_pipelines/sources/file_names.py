"""The files that a path means: a file, a folder, or a pattern; on this machine or in an object store."""

import glob
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from beam_pipelines.sources.contract import SourceFile
from features.disk.object_store import find_files, is_url

# How Spark and Hive write the folder of rows without a value.
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def files_of(path: str) -> list[SourceFile]:
    """The files in order of their names; those that other programs leave, such as `_SUCCESS` or `.crc`, are skipped."""
    found = _remote_files(path) if is_url(path) else _local_files(path)
    pattern = PurePosixPath(path).name
    kept = found if pattern.startswith(("_", ".")) else [file for file in found if not _is_hidden(file.path, path)]
    return sorted(kept, key=lambda file: file.path)


def local_file(path: str) -> SourceFile:
    """A file of this machine as it is now."""
    status = Path(path).stat()
    return SourceFile(path=path, size=status.st_size, modified=status.st_mtime)


def partition_values(path: str) -> dict[str, str | None]:
    """The columns that the names of folders such as `dt=2026-11-01` hold."""
    parts = [part.partition("=") for part in path.split("/")[:-1] if "=" in part]
    return {name: None if value == _NO_VALUE else unquote(value) for name, _, value in parts if name}


def _local_files(path: str) -> list[SourceFile]:
    if Path(path).is_file():
        return [local_file(path)]
    paths: Iterable[str] = glob.glob(path, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    if Path(path).is_dir():
        paths = [path]
    return [local_file(file) for file in dict.fromkeys(file for name in paths for file in _files_below(name))]


def _files_below(path: str) -> list[str]:
    if Path(path).is_file():
        return [path]
    return [str(file) for file in Path(path).rglob("*") if file.is_file()]


def _remote_files(path: str) -> list[SourceFile]:
    return [SourceFile(path=file.url, size=file.size, modified=file.modified) for file in find_files(path)]


def _is_hidden(file: str, pattern: str) -> bool:
    """Whether a file, or a folder between it and what the pattern names, is hidden."""
    depth = len(PurePosixPath(pattern).parts) - 1
    return any(part.startswith(("_", ".")) and "=" not in part for part in PurePosixPath(file).parts[depth:])
