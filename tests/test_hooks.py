"""The commit hook checks what `make check` checks, and needs nothing from elsewhere."""

import subprocess
import sys
from pathlib import Path

import yaml

CONFIG = Path(__file__).parents[1] / ".pre-commit-config.yaml"


def test_the_hook_is_make_check() -> None:
    repos = yaml.safe_load(CONFIG.read_text("utf-8"))["repos"]
    assert [(repo["repo"], [hook["entry"] for hook in repo["hooks"]]) for repo in repos] == [("local", ["make check"])]


def test_pre_commit_accepts_the_configuration() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(CONFIG)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
