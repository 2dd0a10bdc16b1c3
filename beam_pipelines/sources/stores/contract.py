"""What a kind of database must offer to be a table's source."""

from collections.abc import Iterator
from typing import Protocol

from beam_pipelines.passes.engine import Engine
from beam_pipelines.sources.files import ReadUnit, SourceFile
from beam_pipelines.sources.readers import RawBatch
from beam_pipelines.sources.tables import Table


class Store(Protocol):
    """A module with these functions."""

    def find(self, table: Table) -> SourceFile:
        """The table as it is now; its digest changes with every row.

        Raises:
            InputError: there is no such table, or a column is missing.
            RecstackError: the server cannot be reached.
        """
        ...

    def units(self, table: Table, engine: Engine, /) -> Iterator[ReadUnit]:
        """Cuts the table into what is read at the same time; a store may copy the table by the engine first."""
        ...

    def read(self, table: Table, unit: ReadUnit) -> Iterator[RawBatch]:
        """Reads a unit batch by batch.

        Raises:
            RecstackError: the server cannot be reached any more.
        """
        ...
