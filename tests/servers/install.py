#!/usr/bin/env python3
"""Installs the servers that the tests start, where this machine allows it: tests/servers/install.py LEDGER

Debian's packages are installed as root by apt-get, the Go toolchain builds FerretDB and versitygw, and Maven fetches
OpenSearch's and Flink's jars. Nothing here fails or hangs: each command has a time limit, and a server that cannot be
had gets a reason. Needs only Python's standard library, since it runs beside the making of the environment.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.servers.ledger import Ledger  # noqa: E402 - found by the path above

# All of it together, and each kind of command.
_SECONDS = 780
_UPDATE_SECONDS, _PACKAGE_SECONDS, _BUILD_SECONDS, _JARS_SECONDS = 120, 300, 720, 420
_DEADLINE = time.monotonic() + _SECONDS
_ONE_APT = threading.Lock()
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20")
_BUILT = Path.home() / ".cache" / "recstack"


class CannotInstallError(Exception):
    """The server cannot be had here; the message says why."""


@dataclass(frozen=True)
class Program:
    """A program that a server needs."""

    name: str
    package: str
    """Debian's package with it; empty where none is recent enough."""
    folders: str = "usr/sbin"
    """Pattern of the folders below the root, besides those of PATH, in which it may lie."""

    def is_here(self) -> bool:
        """Whether it can be run."""
        places = [str(folder) for folder in Path("/").glob(self.folders)]
        return shutil.which(self.name, path=os.pathsep.join([*places, os.environ.get("PATH", "")])) is not None


_JAVA = (Program("java", "openjdk-17-jre-headless"), Program("mvn", "maven"))


def main(folder: str) -> int:
    """Prepares each server and writes into the ledger what came of it; one is built while others are fetched."""
    ledger = Ledger(Path(folder))

    def install(server: str) -> None:
        try:
            _INSTALL[server]()
        except CannotInstallError as error:
            ledger.skip(server, str(error))
        else:
            ledger.require(server)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(install, _INSTALL))
    return 0


def _packages(*programs: Program) -> None:
    missing = [program for program in programs if not program.is_here()]
    for program in missing:
        if not program.package:
            raise CannotInstallError(f"no {program.name} on this machine")
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise CannotInstallError(f"no {program.name}, and only root can install {program.package} by apt-get")
    if not missing:
        return
    with _ONE_APT:
        _run([*_APT, "update"], _UPDATE_SECONDS)
        _run([*_APT, "install", "-y", "--no-install-recommends", *(p.package for p in missing)], _PACKAGE_SECONDS)
    if absent := [program.name for program in missing if not program.is_here()]:
        raise CannotInstallError(f"the packages are installed, but there is no {' and no '.join(absent)}")


def _by_go(name: str) -> Callable[[], None]:
    def build() -> None:
        if not (_BUILT / name).exists():
            _packages(Program("go", ""))
            _run([str(ROOT / "tests" / "servers" / f"{name}.sh"), str(_BUILT / name)], _BUILD_SECONDS)

    return build


def _jars(project: Path) -> Callable[[], None]:
    def fetch() -> None:
        _packages(*_JAVA)
        with tempfile.TemporaryDirectory() as folder:
            listing = f"-Dmdep.outputFile={folder}/classpath"
            maven = ["mvn", "--batch-mode", "--quiet", "-f", str(project), "dependency:build-classpath", listing]
            _run(maven, _JARS_SECONDS)

    return fetch


def _run(command: list[str], seconds: int) -> None:
    """Runs a command in a group of its own, so that it ends with all that it started.

    Raises:
        CannotInstallError: it is not there, failed, or took too long.
    """
    what = " ".join(Path(word).name if "/" in word else word for word in command if not word.startswith("-"))[:80]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    limit = max(0.0, min(seconds, _DEADLINE - time.monotonic()))
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise CannotInstallError(f"{what}: {error}") from error
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise CannotInstallError(f"{what}: not done after {limit:.0f} s") from None
        if code:
            output.seek(0)
            raise CannotInstallError(f"{what}: exit code {code}: {_telling(output.read().decode(errors='replace'))}")


def _telling(output: str) -> str:
    """The line of a command's output that says most: the first that speaks of an error, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors: Iterator[str] = (line for line in lines if "error" in line.lower() or line.startswith("E:"))
    return next(errors, lines[-1] if lines else "no output")[:300]


# What is built comes first, since that takes longest.
_INSTALL: dict[str, Callable[[], None]] = {
    "ferretdb": _by_go("ferretdb"),
    "versitygw": _by_go("versitygw"),
    "postgresql": lambda: _packages(Program("initdb", "postgresql", "usr/lib/postgresql/*/bin")),
    "mariadb": lambda: _packages(Program("mariadbd", "mariadb-server")),
    "chromium": lambda: _packages(Program("chromium", "chromium")),
    "opensearch": _jars(ROOT / "tests" / "servers" / "opensearch" / "pom.xml"),
    "flink": _jars(ROOT / "deploy" / "beam" / "flink" / "pom.xml"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
