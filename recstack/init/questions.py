"""What a person is asked where a table does not tell: on a terminal, or by an error that names the flag."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from beam_pipelines.profile.raw_table import ColumnProfile


@dataclass(frozen=True, kw_only=True)
class Question:
    """A role that two columns could have."""

    table: str
    """Path of the table."""
    role: str
    """What is looked for, such as `user`."""
    flag: str
    """The option that answers it."""
    choices: Sequence[ColumnProfile]
    """The two best columns, the better one first."""

    def described(self, column: ColumnProfile) -> str:
        """A choice with its first values."""
        return f"{column.name!r} ({', '.join(column.examples)})"

    def __str__(self) -> str:
        """The question in one line."""
        shown = " or ".join(self.described(column) for column in self.choices)
        flags = " or ".join(f"{self.flag} {_quoted(column.name)}" for column in self.choices)
        return f"{self.table}: the {self.role} could be {shown}; say which by {flags}"


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"'{name}'"


Ask: TypeAlias = Callable[[Question], str]
"""Returns the name of the column that was chosen, or raises `InputError`."""
