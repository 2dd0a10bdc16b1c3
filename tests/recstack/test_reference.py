"""The configuration reference is complete and current."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

from recstack.config import StackConfig
from recstack.reference import configuration_reference
from trainer.config.retrieval import RetrievalConfig

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text("utf-8") == configuration_reference(), "docs/configuration.md is not current: run `make docs`"


def test_every_table_has_a_section() -> None:
    hints = get_type_hints(StackConfig)
    tables = [field.name for field in fields(StackConfig) if is_dataclass(hints[field.name])]
    text = configuration_reference()
    assert [name for name in tables if f"## `[{name}]`" not in text] == []


def test_a_field_is_shown_with_its_type_default_and_meaning() -> None:
    row = next(line for line in configuration_reference().splitlines() if line.startswith("| `id_dropout`"))
    assert row.startswith(f"| `id_dropout` | number | `{RetrievalConfig().id_dropout}` | Share of training examples")


def test_no_field_lacks_its_meaning() -> None:
    rows = [line for line in configuration_reference().splitlines() if line.startswith("| `")]
    assert len(rows) > 150
    assert [row for row in rows if row.endswith("|  |")] == []
