"""The command line as a user meets it."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from recstack.__main__ import VERBS, main
from recstack.arguments import StackArguments, parse
from recstack.config import parse_config

# What `recstack --help` and the parsing of a configuration must not pay for.
HEAVY = ("tensorflow", "tf_keras", "apache_beam", "pandas", "numpy", "pyarrow", "scipy", "scann", "grpc")


def run(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "recstack", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def exit_code(arguments: list[str]) -> int | str | None:
    """Of the verb, or of the parser of its flags, which exits by itself."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from recstack.__main__ import main; code = main(['--help']);"
        f"sys.exit(code or ' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(f"  {verb} " in done.stdout for verb in VERBS)


def test_configuration_imports_nothing_heavy() -> None:
    code = (
        "import sys; from recstack.config import load_config; load_config(None);"
        f"sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_unknown_verb_lists_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    error = capsys.readouterr().err
    assert all(verb in error for verb in ("prepare", "train", "serve"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train"], 2, ["manifest.json expected", "recstack prepare"]),
        (["evaluate"], 2, ["recstack prepare"]),
        (["export"], 2, ["recstack prepare"]),
        (["export", "--refresh-index", "--keep", "0"], 2, ["export.keep_versions = 0", "at least 1"]),
        (["rollback"], 2, ["retrieval", "no earlier version to go back to", "published: none"]),
        (["promote"], 2, ["no published model", "recstack retrain"]),
        (["retrain", "--force"], 2, ["--force and --reason", "both or neither"]),
        (["retrain", "--gate.cutoff", "0"], 2, ["gate.cutoff = 0", "at least 1"]),
        (["prepare", "--config", "none.toml"], 2, ["none.toml"]),
        (["prepare", "--retrieval.batch-size", "0"], 2, ["retrieval.batch_size = 0", "at least 1"]),
        (
            ["train", "--retrieval.encoder.kind=gru", "--retrieval.encoder.layers=0"],
            2,
            ["retrieval.encoder.layers = 0"],
        ),
        (["train", "--ranking.optimizer.learning-rate", "-1"], 2, [" ranking.optimizer.learning_rate = -1.0"]),
        (
            ["train", "--ranking.optimizer.learning-rate", "-1", "--retrieval.optimizer.learning-rate=0.1"],
            2,
            [" ranking.optimizer.learning_rate = -1.0"],
        ),
        (
            ["train", "--retrieval.encoder.kind", "recency", "--retrieval.encoder.heads", "2"],
            2,
            ["retrieval.encoder.heads = 2", "an option of kind 'recency': dropout", "transformer"],
        ),
        (["prepare", "--retrieval.batch-sise", "0"], 2, ["--retrieval.batch-size"]),
        (["train", "everything"], 2, ["retrieval"]),
        (["query", "--k", "0"], 2, ["--k 0", "at least 1"]),
        (["query", "--k", "99999999999"], 2, ["--k 99999999999", "at most 2147483647"]),
        (["query", "--timeout", "-1"], 2, ["--timeout -1", "more than 0"]),
        (["query", "--address", ""], 2, ["--address ''", "host:port"]),
        (["query", "--address", "localhost:1"], 1, ["localhost:1", "UNAVAILABLE", "is a server running there"]),
    ],
)
def test_mistake_ends_in_a_clear_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exit_code(arguments) == code
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_ends_the_process_without_traceback(tmp_path: Path) -> None:
    done = run("train", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "recstack prepare" in done.stderr


def test_flags_override_the_file(tmp_path: Path) -> None:
    config = tmp_path / "stack.toml"
    config.write_text(
        "seed = 3\n[[features.query]]\nkind = 'history'\n[[features.candidate]]\nkind = 'id'\nname = 'item_id'\n"
        "[retrieval]\nbatch_size = 64\nepochs = 2\n"
    )
    arguments = ["--retrieval.batch-size", "32", "--config", str(config), "--workdir", "here"]
    stack = parse(StackArguments, "train", arguments).stack
    assert (stack.retrieval.batch_size, stack.retrieval.epochs, stack.seed) == (32, 2, 3)
    assert stack.workdir == Path("here")


def test_print_config_prints_what_would_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(StackArguments, "train", ["--retrieval.epochs", "3", "--print-config"])
    assert ended.value.code == 0
    assert parse_config(capsys.readouterr().out).retrieval.epochs == 3


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("recstack 0.")


def test_json_result_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    from recstack.console import Voice

    Voice("prepare", as_json=True).result("words", {"directory": "x"})
    assert json.loads(capsys.readouterr().out) == {"verb": "prepare", "directory": "x"}


def test_brackets_and_colons_of_the_user_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    from recstack.console import Voice

    voice, name = Voice("query", as_json=False), "[rec] [/b] :cat:"
    voice.progress(name)
    voice.result(name, {})
    voice.error(name)
    table = Table(title=name)
    table.add_row(name)
    voice.show(table)
    said = capsys.readouterr()
    assert (said.out.count(name), said.err.count(name)) == (3, 2)


class FailingVerb:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def main(self, arguments: list[str]) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            tf.errors.ResourceExhaustedError(None, None, "/runs/ckpt; No space left on device [Op:SaveV2]"),
            "device; free",
        ),
        (MemoryError("Unable to allocate 9 GiB"), "Unable to allocate 9 GiB"),
        (OSError(errno.ENOSPC, "No space left on device", "/runs"), "/runs: No space left on device; free"),
    ],
)
def test_trouble_of_the_machine_is_one_line(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "recstack.verbs.train", FailingVerb(error))
    assert main(["train"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "[Op:" not in line


def test_mistake_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "recstack.verbs.train", FailingVerb(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["train"])


@pytest.mark.parametrize("verb", ["prepare", "train", "evaluate", "export", "demo"])
def test_help_of_a_verb_fits_a_screen_and_points_to_the_rest(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert len(shown.splitlines()) <= 40
    assert f"recstack {verb} --help-config" in shown
    assert "--workdir" in shown
    assert "--retrieval.epochs" not in shown


def test_help_config_lists_the_fields_of_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--help-config"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert "--retrieval.epochs" in shown
    assert "--ranking.batch-size" in shown
