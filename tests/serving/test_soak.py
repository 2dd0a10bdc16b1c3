"""A minute of the soak in `benchmarks/soak.py`: new versions under load, every answer checked, memory flat."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
def test_versions_come_under_load_without_a_failed_or_wrong_answer():
    command = [sys.executable, str(SOAK), "--minutes", "1", "--every", "5"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=SOAK.parents[1], timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "failed: 0; wrong: 0" in ended.stdout
