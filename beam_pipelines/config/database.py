"""Configuration of a database table. Imports no driver."""

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
    """Environment variable with the password; empty: none is needed. The configuration is printed and stored, so it
    never contains the password itself."""
    table: str = ""
    """Name of the table or view, if need be with its schema (`logs.events`), of the collection, or of the index."""
    key: str = ""
    """SQL only: an integer column, indexed and preferably unique. Its ranges are read in parallel, and it identifies
    rejected rows. Empty: one worker reads the table, and rows equal in user, item and time have no order."""
    where: str = ""
    """Which rows to read: an SQL condition, a MongoDB filter as JSON, or a query string of the search server; empty:
    all rows."""
    num_ranges: int = 0
    """Ranges, or slices of a search index, that are read in parallel; 0: one per half million rows."""

    @property
    def is_given(self) -> bool:
        """Whether there is such a table."""
        return bool(self.url)

    @property
    def kind(self) -> str:
        """Kind of the server, from the URL's scheme."""
        return databases_by_scheme()[urlsplit(self.url).scheme]

    @property
    def label(self) -> str:
        """Name of the table in messages and rejects: the URL without user and options, and the table."""
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
        """The URL to connect to, with the password.

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
