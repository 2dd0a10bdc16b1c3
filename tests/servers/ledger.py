"""Which servers, and which browser, the tests have to start on this machine, and which they started.

`.ci/run` names the folder by `RECSTACK_SERVER_LEDGER`. Where the variable is not set, tests of a server that is
not installed are skipped.

    python3.11 tests/servers/ledger.py FOLDER    # one line a server; exit code 1 if a test should have run and did not
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

SERVERS = ("postgresql", "mariadb", "ferretdb", "opensearch", "flink", "chromium", "versitygw")
VARIABLE = "RECSTACK_SERVER_LEDGER"


@dataclass(frozen=True)
class Ledger:
    """A folder with a file a server and event: `<server>.required`, `.skipped` with the reason, `.tested` with the
    version."""

    folder: Path

    def require(self, server: str) -> None:
        """The server is installed: its tests have to run."""
        self._file(server, "required").touch()

    def skip(self, server: str, reason: str) -> None:
        """The server cannot be installed."""
        self._file(server, "skipped").write_text(reason, encoding="utf-8")

    def tested(self, server: str, version: str) -> None:
        """A test uses the server."""
        self._file(server, "tested").write_text(version, encoding="utf-8")

    def is_required(self, server: str) -> bool:
        """Whether a test that cannot start the server fails."""
        return self._file(server, "required").exists()

    def line(self, server: str) -> str:
        """What became of the server's tests."""
        if self._file(server, "tested").exists():
            return f"{server}: tested, {self._file(server, 'tested').read_text(encoding='utf-8')}"
        if self._file(server, "skipped").exists():
            return f"{server}: skipped, {self._file(server, 'skipped').read_text(encoding='utf-8')}"
        return f"{server}: NOT TESTED, although it is installed" if self.is_required(server) else f"{server}: not tried"

    def forgotten(self) -> list[str]:
        """Servers that are installed and that no test has used."""
        return [s for s in SERVERS if self.is_required(s) and not self._file(s, "tested").exists()]

    def _file(self, server: str, what: str) -> Path:
        return self.folder / f"{server}.{what}"


def missing(server: str, reason: str) -> NoReturn:
    """Skips the test, or fails it where the ledger says that the server is installed."""
    import pytest

    if (folder := os.environ.get(VARIABLE)) and Ledger(Path(folder)).is_required(server):
        pytest.fail(f"{server} is installed, but its test cannot run: {reason}")
    pytest.skip(reason)


def report(server: str, version: str) -> None:
    """Writes down that a test uses the server."""
    if folder := os.environ.get(VARIABLE):
        Ledger(Path(folder)).tested(server, version)


def main(folder: str) -> int:
    """Prints a line for each server."""
    ledger = Ledger(Path(folder))
    print(*map(ledger.line, SERVERS), sep="\n")  # noqa: T201 - a command's output
    return 1 if ledger.forgotten() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
