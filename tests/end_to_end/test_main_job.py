"""The whole job on the checkerboard: what it reaches is known, and what the server says is what the model says."""

import json
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import MODEL_NAMES
from features.errors import InputError
from recstack import stages
from recstack.config import StackConfig
from recstack.local_server import free_port, local_server
from tests.checkerboard import likes
from tests.docstring_example import run_example


def metrics(stack: StackConfig, stage: str) -> dict:
    return json.loads(stack.layout.current_run.stage(stage).metrics.read_text())


def test_retrieval_finds_every_liked_item_and_beats_popularity(checkerboard: StackConfig) -> None:
    result = metrics(checkerboard, "retrieval")
    recall = result["model"]["metrics"]["recall@2"]
    popularity = result["baselines"]["popularity"]["metrics"]["recall@2"]
    assert recall["value"] >= 0.95  # of two targets a user: at most four of eighty missed
    assert popularity["high"] < recall["low"]
    assert result["versus"]["popularity"]["recall@2"]["p_value"] < 0.01


def test_ranking_separates_the_labels_and_the_item_mean_cannot(checkerboard: StackConfig) -> None:
    result = metrics(checkerboard, "ranking")
    liked = result["tasks"]["label"]
    assert liked["model"]["auc"] == 1.0
    # Each item is liked by half of the users, so its mean says nothing.
    assert liked["baselines"]["item_mean"]["auc"] < 0.7


def test_example_of_the_stages_runs_and_finds_all_done(checkerboard: StackConfig, tmp_path: Path) -> None:
    config = tmp_path / "stack.toml"
    config.write_text(checkerboard.to_toml())
    names = run_example(stages, {"configs/movielens.toml": str(config)})
    assert names["prepared"].nothing_to_do
    assert names["trained"].nothing_to_do
    for model in MODEL_NAMES:
        assert checkerboard.layout.model(model).current == 1


@pytest.mark.slow
def test_answers_over_grpc_equal_those_in_process(checkerboard: StackConfig, tmp_path: Path) -> None:
    from serving.client import RecommenderClient

    users = ["u0", "u1", "a stranger"]
    rest_port = free_port()
    flags = [f"--model_config_file={checkerboard.layout.model_config}", f"--rest_api_port={rest_port}"]
    with (
        local_server(flags, tmp_path / "server.log") as address,
        RecommenderClient(address, model="retrieval", timeout_seconds=60) as client,
    ):
        remote = client.recommend({"user_id": users}, k=5)
        cascade = client.recommend({"user_id": users}, k=5, model="recommender")
        assert client.status("ranking")[0].state == "AVAILABLE"
        for model in MODEL_NAMES:
            examples = checkerboard.layout.model(model).extra(1).example("serving_default", "rest").parent
            for example in examples.glob("*.rest.json"):
                url = f"http://127.0.0.1:{rest_port}/v1/models/{model}:predict"
                with urllib.request.urlopen(url, data=example.read_bytes(), timeout=60) as answer:
                    assert "outputs" in json.loads(answer.read()), example
    layout = checkerboard.layout.model("retrieval")
    local = tf.saved_model.load(str(layout.version(1))).signatures["serving_default"](
        user_id=tf.constant(users), history=tf.constant([[""]] * 3), timestamp=tf.constant([0] * 3, tf.int64)
    )
    assert [[item.item_id.encode() for item in row] for row in remote] == local["item_ids"].numpy().tolist()
    np.testing.assert_allclose([[item.score for item in row] for row in remote], local["scores"], rtol=1e-6)
    for user, row in zip(users[:2], cascade[:2], strict=True):
        # All liked items of these users are in their histories, which the cascade leaves out.
        assert not any(likes(user, item.item_id) for item in row)
    assert len(cascade[2]) == 5


@pytest.mark.parametrize("stage", ["retrieval", "ranking"])
def test_second_run_does_nothing_and_says_so(
    checkerboard: StackConfig, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from recstack.console import Voice
    from recstack.verbs.evaluate import evaluate
    from recstack.verbs.prepare import prepare
    from recstack.verbs.train import train

    before = metrics(checkerboard, stage)
    prepare(checkerboard, Voice("prepare", as_json=False))
    train(checkerboard, stage, Voice("train", as_json=False))
    assert evaluate(checkerboard, stage, Voice("evaluate", as_json=False)) == before
    assert capsys.readouterr().out.count("nothing to do") == 3


def test_results_of_another_configuration_are_not_taken_for_up_to_date(checkerboard: StackConfig) -> None:
    ranking = replace(checkerboard.ranking, epochs=checkerboard.ranking.epochs + 1)
    other = replace(checkerboard, ranking=ranking)
    for stage_function in (lambda: stages.evaluate(other, "ranking"), lambda: stages.export(other)):
        with pytest.raises(InputError, match=r"ranking\.epochs: trained with"):
            stage_function()
