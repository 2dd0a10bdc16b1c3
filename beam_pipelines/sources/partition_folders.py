"""Ranges of partitioned folders such as `dt=2026-11-01`: `recstack prepare --from … --to …`."""

import re
from collections.abc import Sequence

from beam_pipelines.config import TableSource
from beam_pipelines.config.source import TableName
from beam_pipelines.sources.contract import SourceFile
from features.errors import InputError


def files_in_range(files: Sequence[SourceFile], source: TableSource, table: TableName) -> list[SourceFile]:
    """The files whose innermost `key=value` folder is between `first` and `last`.

    Raises:
        InputError: there are no such files or folders, or a bound has another form than the folders' values.
    """
    values = [_partition_value(file.path, table) for file in files]
    known = {_shape(value) for value in values}
    for option, bound in (("first` (--from)", source.first), ("last` (--to)", source.last)):
        # Values are compared as texts: 20261101 or 2026-11-1 would silently be outside all days such as 2026-11-01.
        if bound and _shape(bound) not in known:
            raise InputError(
                f"pipeline.{table}: `{option} is {bound!r}, but the folders have values such as {max(values)!r}; "
                "write it as they do"
            )
    chosen = [
        file
        for file, value in zip(files, values, strict=True)
        if value >= source.first and (not source.last or value <= source.last)
    ]
    if not chosen:
        raise InputError(
            f"pipeline.{table}.path = {source.path!r}: none of {len(files)} files lies in a folder from "
            f"{source.first or 'the first'!r} to {source.last or 'the last'!r}; they go from {min(values)!r} to "
            f"{max(values)!r}: correct `first` (--from) and `last` (--to)"
        )
    return chosen


def _partition_value(path: str, table: TableName) -> str:
    values = [part.partition("=")[2] for part in path.split("/")[:-1] if "=" in part]
    if not values:
        raise InputError(
            f"{path}: `first` and `last` need folders such as dt=2026-11-01; drop them from pipeline.{table}"
        )
    return values[-1]


def _shape(value: str) -> str:
    """The form of a value: all digits and all words look alike."""
    return re.sub(r"[^\W\d]+", "a", re.sub(r"\d", "0", value))
