"""Rows of a database table as `prepare` reads them."""

from pathlib import Path
from typing import Any

from beam_pipelines.config import TableSource
from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.engine import Engine
from beam_pipelines.passes.typed_columns import validate
from beam_pipelines.sources.table_origin import find_origin, read_origin
from beam_pipelines.sources.tables import Column, Table
from beam_pipelines.workspace import Workspace

Rows = list[dict[str, Any]]


def table_of(source: DatabaseSource, columns: tuple[Column, ...]) -> Table:
    return Table(name="items", source=TableSource(database=source), columns=columns, key=columns[0].name)


def read(table: Table, folder: Path = Path()) -> tuple[Rows, Rows, int]:
    """Good rows, rejects and the number of units; `folder` is for what is copied first."""
    good, bad = [], []
    units = list(find_origin(table).units(Engine(workspace=Workspace(folder))))
    for unit in units:
        for raw in read_origin(table, unit):
            batch, rejects = validate(table, unit.path, raw)
            good += batch.to_pylist()
            bad += rejects.to_pylist()
    return good, bad, len(units)
