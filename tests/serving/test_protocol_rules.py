"""docs/protocol.md: every rule names a test, and the test is there."""

import re
from pathlib import Path

HERE = Path(__file__)
RULES = HERE.parents[2] / "docs" / "protocol.md"


def test_every_rule_of_the_protocol_has_a_test():
    rows = [line for line in RULES.read_text().splitlines() if line.startswith("| ") and not line.endswith("| test |")]
    named = {row: re.findall(r"`(test_\w+)`", row.rpartition(" | ")[2]) for row in rows}
    sources = "\n".join(file.read_text() for file in HERE.parent.rglob("test_*.py"))
    there = set(re.findall(r"^def (test_\w+)\(", sources, re.MULTILINE))
    assert len(rows) > 80
    assert [row for row, tests in named.items() if not tests or not there.issuperset(tests)] == []
