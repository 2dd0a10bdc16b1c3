"""Two tasks from one log, ranking alone: no retrieval run is trained, restored or exported."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import MODEL_NAMES
from features.spec.tasks import Task
from recstack.config import StackConfig
from recstack.console import Voice
from recstack.stages import stage_context
from recstack.verbs.evaluate import evaluate, headline
from recstack.verbs.export import export
from recstack.verbs.prepare import prepare
from recstack.verbs.train import train
from tests.checkerboard import DISLIKED, LIKED, likes, write_checkerboard
from trainer.config.calibration import PlattConfig
from trainer.config.ranking import MLPConfig, TaskTraining
from trainer.data.events import load_events
from trainer.data.labelled_pairs import logged_pairs
from trainer.evaluation.ranking import score_pairs
from trainer.restore import restore
from trainer.stage import stages_of

pytestmark = pytest.mark.slow

TASKS = (Task(name="rating", type="regression"), Task(name="liked", threshold=4.0))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    made = write_checkerboard(tmp_path_factory.mktemp("tasks"))
    made = replace(
        made,
        features=replace(made.features, task=TASKS),
        ranking=replace(
            made.ranking,
            network=MLPConfig(hidden=(32,), dropout=0.0),
            epochs=12,
            task={"liked": TaskTraining(calibration=PlattConfig())},
        ),
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
    # Nor do users and items apart: who likes what is in the pairs, which factors alone can learn.
    assert min(rating["baselines"][name]["rmse"] for name in ("global_mean", "user_item_means")) > 1.5
    assert rating["baselines"]["als"]["rmse"] < 1.0
    assert rating["baselines"].keys() == {"item_mean", "global_mean", "user_item_means", "svd", "als"}
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


def test_chances_are_calibrated_in_the_run_and_served_so(stack: StackConfig) -> None:
    context = stage_context(stack)
    trained = restore(context, stages_of(stack)["ranking"])
    rating, liked = trained.model.heads
    assert (rating.calibration, liked.calibration) == ("none", "platt")
    events = load_events(context.dataset.ranking("test"), trained.encoder, trained.candidates.rows(), records="ranking")
    pairs = logged_pairs(events)
    scores = score_pairs(trained, events, pairs)["liked"]
    expected = tf.sigmoid(liked.calibrated(scores)).numpy()
    assert np.abs(expected - tf.sigmoid(scores).numpy()).max() > 0.01

    users = trained.encoder.lookup("user_id").vocabulary
    records = events.record_of_event()[pairs.event]
    names = [users.tokens[index - users.first_token_index] for index in events.user["user_id"][records]]
    ids = trained.candidates.item_ids.numpy()
    ranking = stack.layout.model("ranking")
    signature = tf.saved_model.load(str(ranking.version(ranking.current))).signatures["serving_default"]
    histories = [
        [
            ids[events.candidate_row[event]]
            for event in events.history_events[events.history_start[of] : events.history_end[of]]
        ][-20:]
        for of in pairs.event
    ]
    served = signature(
        user_id=tf.constant(names),
        history=tf.constant([history + [b""] * (20 - len(history)) for history in histories]),
        timestamp=tf.constant(events.timestamp[pairs.event]),
        item_ids=tf.constant(ids[pairs.candidate_row])[:, None],
    )
    np.testing.assert_allclose(served["liked"].numpy()[:, 0], expected, rtol=1e-4, atol=1e-6)


def test_the_report_shows_what_calibration_changes(stack: StackConfig) -> None:
    judged = evaluate(stack, "ranking", Voice("test", as_json=True))["tasks"]["liked"]
    assert judged["calibration"] == "platt"
    before, after = judged["baselines"]["uncalibrated"], judged["model"]
    assert before["auc"] == pytest.approx(after["auc"])
    assert before["log_loss"] != after["log_loss"]
    page = stack.layout.current_run.stage("ranking").report.read_text()
    for row in (before, after):
        assert f"<td>{row['calibration_error']:.4f}</td>" in page
    assert "Calibration that validation chose: platt" in page
