"""The images' files: linted, and the steps that need no container engine tried in a plain folder."""

import fnmatch
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving.flags import parse_flags

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "deploy").rglob("Dockerfile*"))
each_dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instructions and their arguments, comments removed and continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines()) if name]


def arguments(path: Path, instruction: str) -> list[str]:
    return [rest for name, rest in instructions(path) if name == instruction]


def final_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    start = max(place for place, (name, _) in enumerate(found) if name == "FROM")
    return found[start:]


def test_the_images_are_found() -> None:
    assert {path.name for path in DOCKERFILES} >= {"Dockerfile", "Dockerfile.recstack"}


@each_dockerfile
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_does_find_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM ubuntu\nRUN cd /tmp && apt-get install curl\n")
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, tmp_path / "Dockerfile"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "DL3006" in done.stdout  # no tag


@each_dockerfile
def test_base_images_are_pinned_to_a_release(path: Path) -> None:
    for image in arguments(path, "FROM"):
        name, _, tag = image.split()[0].partition(":")
        assert re.search(r"\d+\.\d+", tag), f"{name} has no tag with a release"


@each_dockerfile
def test_the_process_is_no_root_and_gets_its_signals(path: Path) -> None:
    stage = dict(final_stage(path))
    assert stage["USER"].isdigit()
    assert int(stage["USER"]) > 0
    # The list form: a shell in between would not pass SIGTERM on.
    assert stage["ENTRYPOINT"].startswith("[")


@pytest.mark.parametrize("path", [path for path in DOCKERFILES if path.parent.name == "serving"], ids=lambda p: p.name)
def test_the_server_says_its_health(path: Path) -> None:
    stage = dict(final_stage(path))
    assert "8500" in stage["HEALTHCHECK"]
    assert stage["EXPOSE"].split() == ["8500", "8501"]
    config = parse_flags([flag.strip(' "') for flag in stage["CMD"].strip("[]").split(",")])
    assert (config.port, config.rest_api_port) == (8500, 8501)


def ignored() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """What `COPY . .` copies."""
    patterns = [pattern.removeprefix("**/") for pattern in ignored()]
    target = tmp_path / "context"
    target.mkdir()
    for path in ROOT.iterdir():
        if any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name, ignore=shutil.ignore_patterns(*patterns))
        else:
            shutil.copy2(path, target)
    return target


def test_the_context_holds_the_packages_and_their_metadata_only(context: Path) -> None:
    packages = {"features", "beam_pipelines", "trainer", "serving", "recstack"}
    assert {path.name for path in context.iterdir() if path.is_dir()} - {"configs"} == packages
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= {path.name for path in context.iterdir()}


@pytest.mark.slow
def test_the_image_of_our_own_server_installs_all_that_it_needs(context: Path, tmp_path: Path) -> None:
    """Its `pip install`, into a folder, from which the server starts without this environment's packages."""
    (run,) = arguments(ROOT / "deploy" / "serving" / "Dockerfile.recstack", "RUN")
    pip, given = run.split("&&")[0].split(maxsplit=1)
    assert pip == "pip"
    folder = tmp_path / "site"
    command = [sys.executable, "-m", "pip", *shlex.split(given), "--quiet", "--target", str(folder)]
    subprocess.run(command, cwd=context, check=True, timeout=1200)

    def run_isolated(code: str) -> str:
        isolated = f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"
        return subprocess.run(
            [sys.executable, "-I", "-S", "-c", isolated], check=False, capture_output=True, text=True, timeout=300
        ).stdout

    usage = run_isolated("from recstack.__main__ import main; main(['serve', '--help'])")
    assert usage.startswith("usage: recstack serve")
    loaded = run_isolated("import serving.server, scann; print(serving.server.__file__)")
    assert loaded.strip() == str(folder / "serving" / "server.py")
    assert not (folder / "apache_beam").exists()
