"""docs/modules.md is the list of all modules with what each says of itself.

python -m tests.test_module_map      writes it anew; `make docs` calls this
"""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "modules.md"
PACKAGES = ("features", "beam_pipelines", "trainer", "serving", "recstack")
INTRODUCTION = """\
# Modules

Every module with the first sentence of its docstring, written by `make docs`. [architecture.md](architecture.md) says
how the folders belong together.
"""


def module_map() -> str:
    """A section a folder, in the order of the packages' layers, a line a module."""
    folders = [ROOT / package for package in PACKAGES]
    folders = [each for folder in folders for each in sorted({path.parent for path in folder.rglob("*.py")})]
    return INTRODUCTION + "".join(map(section, folders))


def section(folder: Path) -> str:
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    lines = [f"\n## `{folder.relative_to(ROOT)}/`", "", summary(folder / "__init__.py"), ""]
    return "\n".join([*lines, *(f"- `{path.stem}`: {summary(path)}" for path in modules)]) + "\n"


def summary(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert docstring, f"{path} needs a docstring"
    return docstring.partition("\n\n")[0].replace("\n", " ")


def test_the_page_is_what_the_modules_say() -> None:
    assert PAGE.read_text("utf-8") == module_map(), "docs/modules.md is not current: run `make docs`"


if __name__ == "__main__":
    PAGE.write_text(module_map(), "utf-8")
