"""Spreadsheets: the first sheet of an Excel or OpenDocument file."""

import importlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile
from beam_pipelines.sources.formats.text import whole_file
from beam_pipelines.sources.formats.whole_tables import batches_of
from beam_pipelines.sources.python_values import array_of_cells
from beam_pipelines.sources.tables import Table
from features.errors import InputError

NAME = "excel"


def units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    """`contract.FileFormat.units`."""
    return whole_file(table, file, NAME)


def column_names(table: Table, path: str) -> list[str]:
    """`contract.FileFormat.column_names`."""
    return list(_load(table, path).column_names)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.FileFormat.read`."""
    return batches_of(table, unit.path, _load(table, unit.path))


def _load(table: Table, path: str) -> pa.Table:
    rows = _cells(path)[table.source.skip :]
    header = list(table.source.header) or [str(cell).strip() for cell in rows[0]] if rows else []
    body = rows if table.source.header else rows[1:]
    filled = [row for row in body if any(cell not in ("", None) for cell in row)]
    columns = itertools.islice(itertools.zip_longest(*filled), len(header)) if filled else [()] * len(header)
    return pa.table([array_of_cells(column) for column in columns], names=header)


def _cells(path: str) -> Sequence[Sequence[Any]]:
    try:
        calamine = importlib.import_module("python_calamine")
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: reading spreadsheets needs the package python-calamine; install it") from error
    try:
        rows: list[list[Any]] = calamine.CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
    except (calamine.CalamineError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a spreadsheet ({error}); save it anew or as CSV") from error
    return rows
