"""Text with a delimiter: CSV and TSV."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv

from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, column_sources, require_columns
from beam_pipelines.sources.formats.text import require_text, whole_file
from beam_pipelines.sources.opening import open_stream, without_compression
from beam_pipelines.sources.tables import Table

NAME = "csv"
_BLOCK_BYTES = 1 << 24


def units(table: Table, file: SourceFile) -> Iterator[ReadUnit]:
    """`contract.FileFormat.units`."""
    return whole_file(table, file, NAME)


def column_names(_table: Table, path: str) -> list[str]:
    """`contract.FileFormat.column_names`."""
    require_text(path, NAME)
    with open_stream(path) as stream:
        parse = pa.csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True)
        return list(pa.csv.open_csv(stream, parse_options=parse).schema.names)


def _delimiter(path: str) -> str:
    return "\t" if without_compression(path).endswith(".tsv") else ","


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.FileFormat.read`."""
    malformed: list[tuple[int, str, str]] = []

    def note(row: pa.csv.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields, {row.expected_columns} expected"
        malformed.append((row.number - 1, reason, row.text))
        return "skip"

    require_text(unit.path, NAME)
    names = column_sources(table)
    # Everything is read as bytes: types that Arrow guesses from the first block may not fit the next one.
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.binary()), null_values=[""], strings_can_be_null=True
    )
    with open_stream(unit.path) as stream:
        reader = pa.csv.open_csv(
            stream,
            pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
            pa.csv.ParseOptions(delimiter=_delimiter(unit.path), newlines_in_values=True, invalid_row_handler=note),
            convert,
        )
        require_columns(table, unit.path, reader.schema.names)
        row = 1
        for batch in reader:
            refused, malformed[:] = list(malformed), []
            numbers = np.arange(row, row + batch.num_rows + len(refused))
            row += len(numbers)
            yield RawBatch(batch.select(names), np.setdiff1d(numbers, [r for r, _, _ in refused]), refused)
