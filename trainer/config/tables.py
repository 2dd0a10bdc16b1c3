"""The kinds of embedding table and the options of each. Imports no TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from features.errors import ConfigError
from features.kinds import Kinds
from features.schema import Schema
from trainer.config.training import require


@dataclass(frozen=True, kw_only=True)
class TableConfig:
    """How the embeddings of a feature's values are stored.

    `full` has a row for each value. The others are for tables that memory does not hold: values share rows under
    `hashed`, `multi_hash` and `quotient_remainder`; `frequency` and `mixed` save on items with few events alone.
    """

    needs_counts: ClassVar[bool] = False
    """Whether the rows depend on how often each value occurs in training, which is known of items alone."""

    @property
    def is_linear(self) -> bool:
        """Whether an embedding is a sum of rows, so that rows can be fitted to given embeddings."""
        return True


@dataclass(frozen=True, kw_only=True)
class FullConfig(TableConfig):
    """A row for each value."""


@dataclass(frozen=True, kw_only=True)
class RowsConfig(TableConfig):
    """A kind whose number of rows is given."""

    rows: int = 10_000
    """Rows that the values share; missing and unknown values have rows of their own beside them. Of
    `quotient_remainder`, the rows for remainders."""

    def __post_init__(self) -> None:
        require("embedding", self, "rows", self.rows >= 1, "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class HashedConfig(RowsConfig):
    """One row for all values with the same hash."""


@dataclass(frozen=True, kw_only=True)
class QuotientRemainderConfig(RowsConfig):
    """Two rows a value, one by the quotient and one by the remainder of its number and `rows`."""

    operation: Literal["sum", "product"] = "sum"
    """How the two rows become an embedding, component by component."""

    @property
    def is_linear(self) -> bool:
        """Only the sum is."""
        return self.operation == "sum"


@dataclass(frozen=True, kw_only=True)
class MultiHashConfig(RowsConfig):
    """The sum of several rows, each by a hash function of its own."""

    hashes: int = 2
    """Rows that are added up for a value."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("embedding", self, "hashes", self.hashes >= 1, "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class CountedConfig(TableConfig):
    """A kind that treats rare items apart."""

    needs_counts = True

    min_events: int = 10
    """Training events that an item needs to have a row of full width to itself."""

    def __post_init__(self) -> None:
        require("embedding", self, "min_events", self.min_events >= 1, "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class FrequencyConfig(CountedConfig):
    """Rare items share rows by hash."""

    shared_rows: int = 1000
    """Rows that the rare items share."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("embedding", self, "shared_rows", self.shared_rows >= 1, "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class MixedConfig(CountedConfig):
    """Rare items have narrow rows, which one matrix widens."""

    width: int = 8
    """Components of a narrow row."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("embedding", self, "width", self.width >= 1, "a whole number of at least 1")

    @property
    def is_linear(self) -> bool:
        """A narrow row is multiplied by the matrix."""
        return False


TABLES = Kinds(
    TableConfig,
    {
        "full": (FullConfig, "trainer.layers.tables.full:FullTable"),
        "hashed": (HashedConfig, "trainer.layers.tables.hashed:HashedTable"),
        "quotient_remainder": (
            QuotientRemainderConfig,
            "trainer.layers.tables.quotient_remainder:QuotientRemainderTable",
        ),
        "multi_hash": (MultiHashConfig, "trainer.layers.tables.multi_hash:MultiHashTable"),
        "frequency": (FrequencyConfig, "trainer.layers.tables.frequency:FrequencyTable"),
        "mixed": (MixedConfig, "trainer.layers.tables.mixed:MixedTable"),
    },
    default="full",
)


def require_tables(field: str, tables: Mapping[str, TableConfig], schema: Schema) -> None:
    """Refuses tables of features that have none of their own, and kinds that do not suit their feature.

    Args:
        field: Where the tables are configured, such as `retrieval.embedding`.
        tables: Options by the name of a feature.
        schema: The features.

    Raises:
        ConfigError: There is no such feature, or its kind of table needs to know how often the values occur.
    """
    history = "" if schema.history is None else schema.history.name
    features = (*schema.embedded_query, *schema.candidate)
    names = [feature.name for feature in features if feature.raw_type == "string" and feature.name != history]
    for name, config in tables.items():
        if name not in names:
            shared = f"; the history shares the table of {schema.item_id!r}" if history else ""
            raise ConfigError(
                f"{field}.{name}", name, f"a feature whose values are strings: {', '.join(names)}{shared}"
            )
        if config.needs_counts and name != schema.item_id:
            expected = f"another kind: how often each value occurs is known of {schema.item_id!r} alone"
            raise ConfigError(f"{field}.{name}.kind", TABLES.name_of(config), expected)
