"""Every example runs on the exported checkerboard, gives the right answer, and uses nothing of recstack."""

import ast
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from features.disk.layout import ModelName
from recstack.config import StackConfig
from recstack.stages import export_embeddings
from tests.checkerboard import NUM_ITEMS, item, likes
from tests.trainer.export.loading import load

FOLDER = Path(__file__).parents[2] / "examples"
OURS = {"features", "beam_pipelines", "trainer", "serving", "recstack", "tensorflow_recommenders"}
EXAMPLES = sorted(FOLDER.glob("*.py"))


def run(name: str, *arguments: object) -> None:
    runpy.run_path(str(FOLDER / name))["main"]([str(each) for each in arguments])


def version(stack: StackConfig, model: ModelName) -> Path:
    return stack.layout.model(model).version(1)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_nothing_of_recstack_is_imported(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & OURS


def test_every_example_is_run_here_and_in_the_table() -> None:
    text = Path(__file__).read_text(encoding="utf-8") + (FOLDER / "README.md").read_text()
    assert all(text.count(path.name) >= 2 for path in EXAMPLES)


@pytest.mark.parametrize("model", ["retrieval_exact", pytest.param("recommender", marks=pytest.mark.slow)])
def test_plain_tensorflow(checkerboard: StackConfig, model: ModelName, capsys: pytest.CaptureFixture[str]) -> None:
    run("plain_tensorflow.py", checkerboard.layout.model(model).base, "u4", "u5", "--k", "3")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["u4", "u5"]
    for user, line in zip(("u4", "u5"), lines, strict=True):
        items = [entry.split()[0] for entry in line.split(": ")[1].split(", ")]
        assert len(items) == 3
        # The recommender leaves out what its users have in their histories: here all that they like.
        assert all(likes(user, item_id) == (model == "retrieval_exact") for item_id in items)


@pytest.mark.slow
def test_batch_scoring(checkerboard: StackConfig, tmp_path: Path) -> None:
    users = [f"u{n}" for n in range(40)] * 5
    (tmp_path / "users.txt").write_text("\n".join(users) + "\n")
    model = version(checkerboard, "retrieval_exact")
    run("batch_scoring.py", "--model", model, "--users", tmp_path / "users.txt", "--output", tmp_path / "out", "--k", 4)
    lines = [json.loads(line) for path in tmp_path.glob("out*.jsonl") for line in path.read_text().splitlines()]
    assert sorted(line["user_id"] for line in lines) == sorted(users)
    assert all(len(line["items"]) == 4 for line in lines)
    assert all(likes(line["user_id"], item_id) for line in lines for item_id, _ in line["items"])


@pytest.mark.slow
def test_query_tower_tflite(checkerboard: StackConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tensorflow as tf

    output = tmp_path / "query_tower.tflite"
    users = ["u1", "nobody", "u2"]
    run("query_tower_tflite.py", version(checkerboard, "retrieval_exact"), output, *users)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.split(":")[0] in users]
    found = np.array([[float(value) for value in line.split(": ")[1].split()] for line in lines])
    expected = load(checkerboard, "retrieval_exact").signatures["embed_query"](
        user_id=tf.constant(users), history=tf.constant([[""]] * 3), timestamp=tf.zeros(3, tf.int64)
    )["embedding"]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_nearest_items(checkerboard: StackConfig, capsys: pytest.CaptureFixture[str]) -> None:
    export_embeddings(checkerboard)
    capsys.readouterr()
    run("nearest_items.py", checkerboard.layout.embeddings.table("items"), "i6", "--k", NUM_ITEMS // 2 - 1)
    found = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert found == {item(n) for n in range(0, NUM_ITEMS, 2) if n != 6}
