"""The cascade with a list ranker: what is served is what was evaluated."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import SPLITS
from recstack.config import StackConfig
from recstack.stages import evaluate, export, stage_context, train
from tests.ragged import ragged
from tests.trainer.export.loading import load
from trainer.cascade.validation import Verdict
from trainer.config.cascade import ListRankerConfig
from trainer.config.index import ExactConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.evaluation.cascade import CascadeOrders, cascade_orders, first_stage, lists_behind, orders_of
from trainer.evaluation.diversity import ScoredLists, rerank
from trainer.evaluation.retrieval import load_data
from trainer.restore import restore
from trainer.stage import stages_of

LIMIT = 5
pytestmark = pytest.mark.slow  # trains and exports a recommender of its own
RANKER = ListRankerConfig(
    enabled=True, candidates=12, folds=1, gap=0.0, window=0.3, members=1, hidden=(8,), batch_size=8, epochs=20
)


@pytest.fixture(scope="module")
def cascade(checkerboard: StackConfig, tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """The checkerboard with a retrieval model that has hardly learnt, so that there is something left to rank."""
    workdir = tmp_path_factory.mktemp("cascade")
    shutil.copytree(checkerboard.layout.dataset.root, workdir / "dataset")
    stack = replace(
        checkerboard,
        workdir=workdir,
        retrieval=replace(checkerboard.retrieval, epochs=1),
        list_ranking=RANKER,
        # As the evaluation searches. ScaNN's clusters have no seed, and their number is chosen by measured latencies.
        index=ExactConfig(tuned_k=5),
        export=replace(checkerboard.export, models=("recommender",)),
    )
    for name in ("retrieval", "list_ranking"):
        train(stack, name)
    export(stack)
    return stack


def answers(
    stack: StackConfig, users: list[str], histories: list[list[str]], times: Any, **more: Any
) -> list[list[str]]:
    """Item ids of one request to the SavedModel, with other choices than the usual ones if they are given."""
    found = called(stack, "serving_default", users, histories, times, **more)
    return [[item.decode() for item in row] for row in found["item_ids"]]


def explained(stack: StackConfig, users: list[str], histories: list[list[str]], times: Any) -> dict[str, np.ndarray]:
    """Explanations of one request."""
    return called(stack, "explain", users, histories, times)


def called(
    stack: StackConfig, name: str, users: list[str], histories: list[list[str]], times: Any, **more: Any
) -> dict[str, np.ndarray]:
    """Outputs of one request to a signature of the SavedModel."""
    width = max(map(len, histories))
    sent = {
        "user_id": tf.constant(users),
        "history": tf.constant([history + [""] * (width - len(history)) for history in histories]),
        "timestamp": tf.constant(times),
    }
    signature = load(stack, "recommender").signatures[name]
    defaults = {
        alias: tf.constant([[""]]) if spec.dtype == tf.string else tf.constant([np.nan])
        for alias, spec in signature.structured_input_signature[1].items()
        if alias not in sent and alias not in ("limit", "exclude_seen")
    }
    choices = {"limit": tf.constant(LIMIT), "exclude_seen": tf.constant(True)}
    found = signature(**(defaults | sent | choices | more))
    return {alias: values.numpy() for alias, values in found.items()}


@dataclass(frozen=True)
class Judged:
    """The evaluation's orders, and the same queries for the SavedModel."""

    orders: CascadeOrders
    request: tuple[list[str], list[list[str]], Any]
    ids: np.ndarray

    def named(self, rows: np.ndarray) -> list[list[str]]:
        return [[self.ids[row].decode() for row in of_query[:LIMIT]] for of_query in rows]


@pytest.fixture(scope="module")
def judged(cascade: StackConfig) -> Judged:
    context, stage = stage_context(cascade), stages_of(cascade)["list_ranking"]
    trained = restore(context, stage)
    judged = load_data(trained, context.dataset, cascade.evaluation).judged
    # The SavedModel counts over all events that there are, the evaluation over those before the queries.
    orders = cascade_orders(trained, context, judged, stage, known=SPLITS)
    ids = encode_dataset(cascade.features, context.dataset).candidates.item_ids.numpy()
    records = judged.events.record_of_event()[judged.asked_at]
    users = _user_ids(trained, judged.events.user["user_id"][records])
    histories = [
        [ids[row].decode() for row in judged.queries.history.slice(n, n + 1).values] for n in range(len(users))
    ]
    return Judged(orders, (users, histories, judged.events.timestamp[judged.asked_at]), ids)


def test_the_saved_model_orders_as_the_evaluation_does(cascade: StackConfig, judged: Judged) -> None:
    content = evaluate(cascade, "list_ranking").content
    assert content["ranks"], "the list ranker has to be the better one here"
    assert answers(cascade, *judged.request) == judged.named(judged.orders.list_ranker)


def test_a_smaller_model_orders_as_its_rounded_features_do(
    cascade: StackConfig, judged: Judged, tmp_path: Path
) -> None:
    small = replace(cascade, workdir=tmp_path, export=replace(cascade.export, ranker_precision="int8"))
    for part in (cascade.layout.dataset.root, cascade.layout.runs.root):
        shutil.copytree(part, tmp_path / part.name)
    export(small)
    context, stage = stage_context(small), stages_of(small)["list_ranking"]
    trained = restore(context, stage)
    first = first_stage(trained, context, stage, known=SPLITS)
    rounded = replace(first, features=first.features.stored_in("int8"))
    split = load_data(trained, context.dataset, small.evaluation).judged
    lists, full = (lists_behind(trained, split, stage, each) for each in (rounded, first))
    assert (lists.features != full.features).any()
    np.testing.assert_allclose(lists.features, full.features, atol=0.2)
    assert answers(small, *judged.request) == judged.named(orders_of(trained, lists).list_ranker)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_saved_model_re_ranks_as_the_evaluation_does(cascade: StackConfig, judged: Judged, strength: float) -> None:
    context = stage_context(cascade)
    retrieval = restore(context, stages_of(cascade)["retrieval"])
    scored = ScoredLists(
        rows=judged.orders.list_ranker,
        scores=judged.orders.list_ranker_scores,
        targets=ragged([]),
        vectors=retrieval.model.embed_candidates(retrieval.candidates).numpy(),
        values={},
    )
    (expected,) = rerank(scored, "mmr", [strength], LIMIT)
    served = answers(cascade, *judged.request, diversity=tf.constant([strength]))
    assert served == judged.named(expected)
    assert (served == judged.named(judged.orders.list_ranker)) == (strength == 0.0)


def test_the_evaluation_shows_what_diversity_costs(cascade: StackConfig) -> None:
    content = evaluate(cascade, "list_ranking").content
    for rows in content["diversity"].values():
        assert rows[0]["ndcg"] == pytest.approx(content["model"]["metrics"]["ndcg@2"]["value"])
        assert rows[-1]["distance"] > rows[0]["distance"]
        assert {"remainders"} <= rows[0].keys()
    assert "What diversity costs" in cascade.layout.current_run.stage("list_ranking").report.read_text()


def test_contributions_of_features_and_history_sum_up_to_the_scores(cascade: StackConfig) -> None:
    history, times = [f"i{n}" for n in range(0, 24, 2)], np.array([1_700_000_000] * 3, np.int64)
    users, histories = ["u8", "nobody", "u3"], [history, [], ["i1", "i1", "unknown"]]
    found = explained(cascade, users, histories, times)
    assert found["item_ids"].astype(str).tolist() == answers(cascade, users, histories, times)
    total = found["baseline"][:, None] + found["feature_contributions"].sum(axis=-1)
    np.testing.assert_allclose(total, np.log(found["scores"]), atol=0.1)
    groups = found["feature_groups"][0].astype(str)
    of_history = ~np.isin(groups, ["retrieval", "popularity", "request"])
    by_feature = found["feature_contributions"][..., of_history].sum(axis=-1)
    np.testing.assert_allclose(found["history_contributions"].sum(axis=-1), by_feature, atol=1e-3)
    ids = found["history_item_ids"].astype(str)
    assert [item for item in ids[0] if item] == history
    assert not any(ids[1])
    assert [item for item in ids[2] if item] == ["i1", "i1"]


def test_the_evaluation_shows_feature_importance_and_rules(cascade: StackConfig) -> None:
    known = evaluate(cascade, "list_ranking").content["ranker"]
    losses = [row["loss"]["value"] for row in known["importance"]]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0
    assert {row["group"] for row in known["importance"]} >= {"retrieval", "ease", "remainders", "popularity"}
    assert known["rules"]["r_squared"] > 0
    page = cascade.layout.current_run.stage("list_ranking").report.read_text()
    assert "Feature importance of the list ranker" in page
    assert "The list ranker as rules" in page


def test_items_of_the_history_come_back_on_request(cascade: StackConfig) -> None:
    history = [f"i{n}" for n in range(0, 24, 2)]
    times = np.array([1_700_000_000], np.int64)
    without = answers(cascade, ["u8"], [history], times)[0]
    with_seen = answers(cascade, ["u8"], [history], times, exclude_seen=tf.constant(False))[0]
    assert not set(without) & set(history)
    assert set(with_seen) & set(history)


def test_without_a_better_list_ranker_retrieval_orders(cascade: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.evaluation import cascade as judging

    context, stage = stage_context(cascade), stages_of(cascade)["list_ranking"]
    monkeypatch.setattr(judging, "verdict", lambda metrics: Verdict(False, "as told"))
    result = judging.evaluate_cascade(restore(context, stage), context, cascade.evaluation, stage)
    assert not result["ranks"]
    assert result["reason"] == "as told"
    assert result["model"]["metrics"] == result["baselines"]["retrieval"]["metrics"]


def test_what_users_had_before_their_stored_histories_is_left_out_too(cascade: StackConfig, tmp_path: Path) -> None:
    """The list ranker compares with three events; users of the checkerboard have had more than those."""
    short = replace(cascade, workdir=tmp_path, list_ranking=replace(RANKER, history=3))
    for part in (cascade.layout.dataset.root, cascade.layout.runs.root):
        shutil.copytree(part, tmp_path / part.name, symlinks=True)
    train(short, "list_ranking")
    export(short)
    layout = short.layout.dataset
    dataset = encode_dataset(short.features, layout)
    (events,) = dataset.blocks(layout.interactions("test"), records="retrieval")
    names, ids = dataset.encoder.lookup("user_id").vocabulary, dataset.candidates.item_ids.numpy()
    had = {
        names.tokens[user - names.first_token_index]: {ids[row].decode() for row in events.candidate_row[start:end]}
        for user, start, end in zip(
            events.user["user_id"], events.record_splits[:-1], events.record_splits[1:], strict=True
        )
        if user >= names.first_token_index
    }
    users, times = list(had), np.full(len(had), 1_700_000_000)
    assert min(map(len, had.values())) > 3
    nothing: list[list[str]] = [[""]] * len(users)
    for user, served in zip(users, answers(short, users, nothing, times), strict=True):
        assert not had[user] & set(served)
    again = answers(short, users, nothing, times, exclude_seen=tf.constant(False))
    assert any(had[user] & set(served) for user, served in zip(users, again, strict=True))
    sent = answers(short, users, [["i0"]] * len(users), times)  # stands for the known one
    assert any(had[user] & set(served) for user, served in zip(users, sent, strict=True))


def _user_ids(trained: Any, indices: np.ndarray) -> list[str]:
    vocabulary = trained.encoder.lookup("user_id").vocabulary
    return [vocabulary.tokens[index - vocabulary.first_token_index] for index in indices]
