"""Real database servers from Debian's packages, started in a folder of their own and stopped at the end."""

import getpass
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recstack.local_server import free_port
from tests.servers.ledger import missing, report


@dataclass(frozen=True)
class SqlServer:
    """A server with a database `shop` that user `reader` may read with a password full of special characters."""

    url: str
    run: Callable[[str], None]
    """Runs SQL statements as the owner."""
    control: Callable[[str], None] = str
    """Makes PostgreSQL `start` or, without waiting for what it is doing, `stop`."""


PASSWORD = "pä:ss@w/d"


def find_program(server: str, name: str, package: str, folders: str) -> str:
    places = sorted(Path("/").glob(folders.lstrip("/")), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, places), os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        missing(server, f"no {name} here; install Debian's package {package}")
    return found


def version_of(program: str) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def server_folder(user: str) -> Iterator[tuple[Path, list[str]]]:
    """A folder that the user owns, and what to put before a command to run it as that user; pytest's own folders are
    closed to other users."""
    folder = Path(tempfile.mkdtemp(prefix="recstack-server-"))
    try:
        if getpass.getuser() != "root":
            yield folder, []
        else:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            yield folder, ["setpriv", f"--reuid={user}", f"--regid={entry.pw_gid}", "--clear-groups"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_until(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "the server did not start"
        time.sleep(0.05)


def run(command: list[str], **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, **options)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def postgresql() -> Iterator[SqlServer]:
    initdb = find_program("postgresql", "initdb", "postgresql", "/usr/lib/postgresql/*/bin")
    folder_of = Path(initdb).parent
    port = free_port()
    with server_folder("postgres") as (folder, as_user):
        data = str(folder / "data")
        run([*as_user, initdb, "-D", data, "-A", "trust", "-U", "owner", "-E", "UTF8", "--no-sync"], cwd=folder)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = [*as_user, str(folder_of / "pg_ctl"), "-D", data, "-w"]

        def control_server(command: str) -> None:
            run([*control, "-l", str(folder / "log"), "-o", options, "-m", "immediate", command], cwd=folder)

        control_server("start")

        def sql(statements: str, database: str = "shop") -> None:
            psql = [str(folder_of / "psql"), "-v", "ON_ERROR_STOP=1", "-h", str(folder), "-p", str(port), "-U", "owner"]
            run([*psql, "-d", database, "-c", statements])

        try:
            sql("CREATE DATABASE shop", "postgres")
            sql(f"CREATE USER reader PASSWORD '{PASSWORD}'; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader")
            # From here on a password is asked for.
            (folder / "data" / "pg_hba.conf").write_text(
                "local all owner trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
            )
            run([*control, "reload"], cwd=folder)
            report("postgresql", version_of(initdb))
            yield SqlServer(f"postgresql://reader@127.0.0.1:{port}/shop", sql, control_server)
        finally:
            control_server("stop")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[SqlServer]:
    server = find_program("mariadb", "mariadbd", "mariadb-server", "/usr/sbin")
    port = free_port()
    with server_folder("mysql") as (folder, as_user):
        data, sock = f"--datadir={folder}/data", f"--socket={folder}/socket"
        install = ["mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal"]
        run([*as_user, *install, "--skip-test-db"], cwd=folder)
        listen = [f"--port={port}", "--bind-address=127.0.0.1", f"--pid-file={folder}/pid"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([*as_user, server, "--no-defaults", data, sock, *listen], stderr=log)

        def sql(statements: str) -> None:
            run(["mariadb", "--no-defaults", sock, "-uroot", "-e", statements])

        def is_up() -> bool:
            asked = subprocess.run(["mariadb", "--no-defaults", sock, "-uroot", "-e", ""], capture_output=True)
            return asked.returncode == 0

        try:
            wait_until(is_up)
            sql(f"CREATE DATABASE shop; CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
            sql("GRANT SELECT ON shop.* TO reader@'127.0.0.1'")
            report("mariadb", version_of(server))
            yield SqlServer(f"mysql://reader@127.0.0.1:{port}/shop", lambda text: sql("USE shop; " + text))
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="session")
def ferretdb() -> Iterator[str]:
    """URL of a database `shop` of a server that speaks MongoDB's protocol."""
    program = Path.home() / ".cache" / "recstack" / "ferretdb"
    if not program.exists():
        missing("ferretdb", "no ferretdb here; build it by tests/servers/ferretdb.sh")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="recstack-server-") as folder:
        command = [program, "--handler=sqlite", f"--sqlite-url=file:{folder}/", f"--state-dir={folder}"]
        options = [f"--listen-addr=127.0.0.1:{port}", "--telemetry=disable", "--debug-addr=-"]
        process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(port))
            report("ferretdb", version_of(str(program)).partition("\n")[0])
            yield f"mongodb://127.0.0.1:{port}/shop"
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="session")
def opensearch() -> Iterator[int]:
    """The port of an OpenSearch node."""
    java = find_program("opensearch", "java", "openjdk-17-jre-headless", "/usr/bin")
    maven = find_program("opensearch", "mvn", "maven", "/usr/bin")
    source = Path(__file__).parents[3] / "servers" / "opensearch"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="recstack-server-") as folder:
        listing = f"-Dmdep.outputFile={folder}/classpath"
        run([maven, "--batch-mode", "--quiet", "-f", str(source / "pom.xml"), "dependency:build-classpath", listing])
        command = [java, "-Xmx512m", "--add-opens=java.base/java.nio.file=ALL-UNNAMED", "-cp"]
        command += [(Path(folder) / "classpath").read_text(), str(source / "OpenSearchNode.java")]
        (Path(folder) / "config").mkdir()
        process = subprocess.Popen([*command, folder, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: answers(port), 180)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=60) as answer:
                report("opensearch", json.load(answer)["version"]["number"])
            yield port
        finally:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
