"""Where a table of a database lies. No driver is imported here."""

import os
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from beam_pipelines.config.source_kinds import databases_by_scheme
from features.errors import ConfigError

_WITH_KEYS = ("postgresql", "mysql")


@dataclass(frozen=True, kw_only=True)
class DatabaseSource:
    """One table of a database; without a `url` there is none."""

    url: str = ""
    """Server and database without the password, such as `postgresql://reader@db.example:5432/shop`,
    `mysql://reader@db.example/shop` (MariaDB too), `mongodb://reader@db.example/shop`,
    `opensearch+https://reader@search.example:9200` or `elasticsearch+https://…`, `bigquery://project/dataset`."""
    password_variable: str = ""
    """Environment variable that holds the password; empty: none is needed. The configuration is printed and kept, so
    it never holds the password itself."""
    table: str = ""
    """Table or view, with its schema if need be (`logs.events`); collection; index."""
    key: str = ""
    """SQL only: a whole-number column, indexed and best unique, whose ranges are read at the same time; rejected rows
    are told by it. Empty: one worker reads the table, and rows equal in user, item and moment have no order."""
    where: str = ""
    """Which rows are read: an SQL condition, a MongoDB filter as JSON, or a query string of the search server; empty:
    all."""
    num_ranges: int = 0
    """Ranges (slices of a search index) that are read at the same time; 0: one for each half million rows."""

    @property
    def is_given(self) -> bool:
        """Whether there is such a table."""
        return bool(self.url)

    @property
    def kind(self) -> str:
        """What server it is, by the URL's scheme."""
        return databases_by_scheme()[urlsplit(self.url).scheme]

    @property
    def label(self) -> str:
        """The table's name for messages and rejects: the URL without user and options, and the table."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}/{self.table}"

    def check(self, path: str) -> None:
        """Checks the fields; `path` is where they stand in the configuration.

        Raises:
            ConfigError: a field has a value it cannot have.
        """
        if not self.is_given:
            if self != DatabaseSource():
                raise ConfigError(f"{path}.url", self.url, "the server's URL, as other fields of the table are given")
            return
        try:
            parts = urlsplit(self.url)
            _ = parts.port
        except ValueError as error:
            raise ConfigError(f"{path}.url", self.url, f"a URL ({error})") from error
        if parts.scheme not in databases_by_scheme():
            known = ", ".join(databases_by_scheme())
            raise ConfigError(f"{path}.url", self.url, f"a URL that begins with one of {known}")
        if parts.password is not None:
            shown = self.url.replace(f":{parts.password}@", ":…@")
            raise ConfigError(f"{path}.url", shown, "no password; name its variable in password_variable")
        if not self.table:
            raise ConfigError(f"{path}.table", self.table, "the table's name")
        if not 0 <= self.num_ranges <= 10_000:
            raise ConfigError(f"{path}.num_ranges", self.num_ranges, "0 to 10000")
        self._check_ranges(path)

    def _check_ranges(self, path: str) -> None:
        if self.key and self.kind not in _WITH_KEYS:
            raise ConfigError(f"{path}.key", self.key, "none: only tables of SQL databases are cut by a key")
        if self.kind == "bigquery" and (self.num_ranges or self.password_variable):
            raise ConfigError(
                f"{path}.url", self.url, "no num_ranges or password_variable beside it: Google has its own"
            )
        if self.num_ranges > 1 and not self.key and self.kind in _WITH_KEYS:
            raise ConfigError(f"{path}.key", self.key, "the column to cut into num_ranges ranges")

    def url_with_password(self) -> str:
        """The URL that a driver connects to.

        Raises:
            ConfigError: the environment lacks the variable.
        """
        if not self.password_variable:
            return self.url
        password = os.environ.get(self.password_variable)
        if password is None:
            raise ConfigError(
                "password_variable", self.password_variable, "a variable that the environment has; set it"
            )
        parts = urlsplit(self.url)
        user, _, host = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()
