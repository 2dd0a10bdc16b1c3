"""Two tasks from one log, ranking alone: no retrieval run is trained, restored or exported."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import MODEL_NAMES
from features.spec.tasks import Task
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.verbs.evaluate import evaluate, headline
from recstack.verbs.export import export
from recstack.verbs.prepare import prepare
from recstack.verbs.train import train
from tests.checkerboard import DISLIKED, LIKED, likes, write_checkerboard
from trainer.config.ranking import MLPConfig

TASKS = (Task(name="rating", type="regression"), Task(name="liked", threshold=4.0))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    made = write_checkerboard(tmp_path_factory.mktemp("tasks"))
    made = replace(
        made,
        features=replace(made.features, task=TASKS),
        ranking=replace(made.ranking, network=MLPConfig(hidden=(32,), dropout=0.0), epochs=12),
        export=replace(made.export, models=("ranking",)),
    )
    voice = Voice("test", as_json=True)
    prepare(made, voice)
    train(made, "ranking", voice)
    evaluate(made, "ranking", voice)
    export(made, voice)
    return made


def test_both_tasks_are_learnt(stack: StackConfig) -> None:
    result = evaluate(stack, "ranking", Voice("test", as_json=True))
    rating, liked = result["tasks"]["rating"], result["tasks"]["liked"]
    assert (rating["type"], liked["type"]) == ("regression", "binary")
    # Half of what each item got is 5 and half is 1, so its mean says nothing: an error of about 2.
    assert rating["model"]["rmse"] < 0.5 < 1.5 < rating["baselines"]["item_mean"]["rmse"]
    assert liked["model"]["auc"] > 0.99
    assert {"rating/rmse", "liked/auc"} <= headline(result)["model"].keys()


def test_ranking_is_exported_without_a_retrieval_run(stack: StackConfig) -> None:
    layout = stack.layout
    assert not layout.current_run.stage("retrieval").directory.exists()
    assert [name for name in MODEL_NAMES if layout.model(name).current is not None] == ["ranking"]


def test_signature_has_a_prediction_a_task(stack: StackConfig) -> None:
    ranking = stack.layout.model("ranking")
    assert ranking.current is not None
    signature = tf.saved_model.load(str(ranking.version(ranking.current))).signatures["serving_default"]
    items = [f"i{n}" for n in range(10)]
    given = {
        name: tf.zeros([1 if size is None else size for size in spec.shape.as_list()], spec.dtype)
        for name, spec in signature.structured_input_signature[1].items()
    }
    given |= {"user_id": tf.constant(["u3"]), "item_ids": tf.constant([[*items, ""]])}
    given = {name: tf.fill(v.shape, "") if v.dtype == tf.string and name not in ("user_id", "item_ids") else v
             for name, v in given.items()}  # fmt: skip
    answer = {name: values.numpy()[0] for name, values in signature(**given).items()}
    assert answer.keys() == {"rating", "liked"}
    expected = np.array([likes("u3", item) for item in items])
    np.testing.assert_array_equal(answer["liked"][:-1] > 0.5, expected)
    np.testing.assert_allclose(answer["rating"][:-1], np.where(expected, LIKED, DISLIKED), atol=1.0)
    assert answer["rating"][-1] == answer["liked"][-1] == 0.0  # the empty item id
