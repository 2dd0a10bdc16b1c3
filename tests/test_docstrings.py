"""The examples in docstrings run and give what they say; modules without any are not imported."""

import ast
import doctest
import importlib
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("features", "beam_pipelines", "trainer", "serving", "recstack")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
RUN_ELSEWHERE = {
    "recstack.stages": "tests/end_to_end/test_main_job.py",
    "serving.api.profiler": "tests/serving/api/test_profiler.py",
    "serving.client.aio": "tests/serving/client/test_client.py",
    "serving.client.sync": "tests/serving/client/test_client.py",
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = [name for path in FILES if ">>> " in path.read_text() and (name := module_name(path)) not in RUN_ELSEWHERE]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0
    assert failed == 0, "the difference is printed above"


def indented_blocks(docstring: str) -> Iterator[str]:
    lines: list[str] = []
    for line in [*docstring.splitlines(), "end"]:
        if line.startswith("    ") or (lines and not line):
            lines.append(line)
        elif lines:
            yield textwrap.dedent("\n".join(lines))
            lines = []


def calls_something(block: str) -> bool:
    try:
        return any(isinstance(node, ast.Call) for node in ast.walk(ast.parse(block)))
    except SyntaxError:
        return False


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_code_in_docstrings_is_an_example_that_runs(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for block in indented_blocks(ast.get_docstring(node) or ""):
                assert not calls_something(block), f"begin each statement with >>>:\n{block}"


def test_code_is_told_from_tables() -> None:
    docstring = "First.\n\n    client = Client(8500)\n\n    client.ask()\n\nArgs:\n    x: what (if anything) is asked."
    first, second = indented_blocks(docstring)
    assert calls_something(first)
    assert not calls_something(second)
