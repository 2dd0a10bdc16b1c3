"""Every kind of source that a raw table can have, from its name to the module that reads it.

A new file format or database is one module and one line here. A program that embeds recstack adds a kind of its own
with `registered_source` around its work. The modules are imported only when a table needs them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """How a kind of source is recognised, and which module reads it."""

    module: str
    """Dotted name. The module has the functions of `sources.contract.FileFormat` if the kind has file endings, else
    those of `sources.contract.Store`."""
    endings: tuple[str, ...] = ()
    """File endings of a file format, with the dot."""
    schemes: tuple[str, ...] = ()
    """URL schemes of a database."""


_FORMATS, _STORES = "beam_pipelines.sources.formats", "beam_pipelines.sources.stores"

SOURCE_KINDS: dict[str, SourceKind] = {
    "parquet": SourceKind(module=f"{_FORMATS}.parquet", endings=(".parquet", ".pq")),
    "csv": SourceKind(module=f"{_FORMATS}.delimited", endings=(".csv", ".tsv", ".tab")),
    "jsonl": SourceKind(module=f"{_FORMATS}.json_objects", endings=(".jsonl", ".ndjson", ".json")),
    "feather": SourceKind(module=f"{_FORMATS}.feather", endings=(".feather", ".arrow", ".ipc")),
    "orc": SourceKind(module=f"{_FORMATS}.orc", endings=(".orc",)),
    "excel": SourceKind(module=f"{_FORMATS}.excel", endings=(".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")),
    "movielens": SourceKind(module=f"{_STORES}.movielens"),
    "postgresql": SourceKind(module=f"{_STORES}.sql", schemes=("postgresql", "postgres")),
    "mysql": SourceKind(module=f"{_STORES}.sql", schemes=("mysql", "mariadb")),
    "mongodb": SourceKind(module=f"{_STORES}.mongodb", schemes=("mongodb", "mongodb+srv")),
    "opensearch": SourceKind(module=f"{_STORES}.search", schemes=("opensearch+http", "opensearch+https")),
    "elasticsearch": SourceKind(module=f"{_STORES}.search", schemes=("elasticsearch+http", "elasticsearch+https")),
    "bigquery": SourceKind(module=f"{_STORES}.bigquery", schemes=("bigquery",)),
}


@contextmanager
def registered_source(name: str, kind: SourceKind) -> Iterator[None]:
    """Adds a kind from outside the package and removes it on leaving.

    Raises:
        ValueError: another kind has the name, an ending or a scheme already.
    """
    taken = {name for known in SOURCE_KINDS.values() for name in (*known.endings, *known.schemes)}
    if name in SOURCE_KINDS or taken & {*kind.endings, *kind.schemes}:
        raise ValueError(f"source kind {name!r}: its name, an ending or a scheme is taken")
    SOURCE_KINDS[name] = kind
    try:
        yield
    finally:
        del SOURCE_KINDS[name]


def formats_by_ending() -> dict[str, str]:
    """The name of the file format for each file ending."""
    return {ending: name for name, kind in SOURCE_KINDS.items() for ending in kind.endings}


def databases_by_scheme() -> dict[str, str]:
    """The name of the kind for each URL scheme."""
    return {scheme: name for name, kind in SOURCE_KINDS.items() for scheme in kind.schemes}


def format_names() -> Iterator[str]:
    """What `format` can be: file formats, and tables that come with a package."""
    yield "auto"
    yield from (name for name, kind in SOURCE_KINDS.items() if not kind.schemes)


def needs_path(name: str) -> bool:
    """Whether a table of the format lies in files; with `auto` it does."""
    return name not in SOURCE_KINDS or bool(SOURCE_KINDS[name].endings)
