"""Servers of the tests: what cannot be installed has a reason, and what was installed has to be tested."""

import time
from pathlib import Path

import pytest

from tests.servers import install, ledger
from tests.servers.ledger import SERVERS, Ledger


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any of the programs; commands put into the folder are found."""
    bins = tmp_path / "bin"
    bins.mkdir()
    monkeypatch.setenv("PATH", f"{bins}:/bin")
    monkeypatch.setattr(install.Program, "is_here", lambda program: (bins / program.name).exists())
    monkeypatch.setattr(install, "_BUILT", tmp_path / "built")
    monkeypatch.setattr(install.os, "geteuid", lambda: 0)
    (tmp_path / "ledger").mkdir()
    return bins


def put(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


def lines_after_install(folder: Path) -> dict[str, str]:
    assert install.main(str(folder / "ledger")) == 0
    return {server: Ledger(folder / "ledger").line(server) for server in SERVERS}


def test_what_apt_refuses_is_the_reason(bare: Path, tmp_path: Path) -> None:
    put(bare, "apt-get", 'echo reading; echo "E: Unable to locate package $5" >&2; exit 100')
    lines = lines_after_install(tmp_path)
    assert lines["mariadb"].startswith("mariadb: skipped, apt-get ")
    assert "E: Unable to locate package" in lines["mariadb"]
    assert lines["ferretdb"] == "ferretdb: skipped, no go on this machine"
    assert not Ledger(tmp_path / "ledger").forgotten()


def test_only_root_installs(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bare, "apt-get", "exit 0")
    monkeypatch.setattr(install.os, "geteuid", lambda: 1000)
    expected = "flink: skipped, no java, and only root can install openjdk-17-jre-headless by apt-get"
    assert lines_after_install(tmp_path)["flink"] == expected


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "_UPDATE_SECONDS", 0.2)
    put(bare, "apt-get", "sleep 600 & sleep 600")
    began = time.monotonic()
    assert "not done after 0 s" in lines_after_install(tmp_path)["postgresql"]
    assert time.monotonic() - began < 60


def test_an_installed_server_is_required_until_a_test_uses_it(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(bare, "apt-get", f'case "$*" in *mariadb*) touch {bare}/mariadbd ;; esac')
    assert lines_after_install(tmp_path)["mariadb"] == "mariadb: NOT TESTED, although it is installed"
    assert "there is no initdb" in Ledger(tmp_path / "ledger").line("postgresql")
    monkeypatch.setenv(ledger.VARIABLE, str(tmp_path / "ledger"))
    with pytest.raises(pytest.fail.Exception, match="mariadb is installed, but its test cannot run: no socket"):
        ledger.missing("mariadb", "no socket")
    with pytest.raises(pytest.skip.Exception, match="no initdb here"):
        ledger.missing("postgresql", "no initdb here")
    assert ledger.main(str(tmp_path / "ledger")) == 1
    ledger.report("mariadb", "10.11")
    assert ledger.main(str(tmp_path / "ledger")) == 0
    assert "mariadb: tested, 10.11" in capsys.readouterr().out
