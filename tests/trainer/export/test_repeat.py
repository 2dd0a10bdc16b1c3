"""What a history adds to its own items' scores is served as it was trained: sent or looked up, filtered, excluded."""

import csv
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import tensorflow as tf

from features.spec.history import HistoryTimesFeature
from recstack.config import StackConfig
from recstack.local_server import local_server
from recstack.stages import export, prepare, stage_context, train
from serving.client import CallError, RecommenderClient
from tests.checkerboard import NUM_ITEMS, title, write_checkerboard
from tests.trainer.export.loading import load
from tests.trainer.export.test_servables import request, restrictions
from tests.trainer.retrieval.test_repeat_bonus import by_definition
from trainer.restore import Trained, restore
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers

pytestmark = pytest.mark.slow

HISTORIES = [["i0", "i2", "i0"], ["i1", "", "i5"], ["", "zzz", "i3"], ["", "", ""]]
TIMES = [[1000, 5000, 900_000], [70, 0, 0], [0, 5, 9000], [0, 0, 0]]
"""Of user u3's histories; the last one sends none, so that the known one counts."""


def send(times: list[list[int]] = TIMES) -> dict[str, tf.Tensor]:
    return request(["u3"] * len(HISTORIES), HISTORIES) | {"history_timestamps": tf.constant(times, tf.int64)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """The checkerboard, trained with `retrieval.repeat` and exported."""
    stack = write_checkerboard(tmp_path_factory.mktemp("repeat"))
    retrieval, models = replace(stack.retrieval, repeat=2.0, epochs=2), ("retrieval", "retrieval_exact")
    features = replace(stack.features, query=(*stack.features.query, HistoryTimesFeature()))
    evaluation = replace(stack.evaluation, exclude_seen=False)
    stack = replace(stack, features=features, retrieval=retrieval, evaluation=evaluation)
    stack = replace(stack, export=replace(stack.export, models=models))
    prepare(stack)
    train(stack, "retrieval")
    export(stack)
    return stack


@pytest.fixture(scope="module")
def trained(stack: StackConfig) -> Trained[TwoTowers]:
    return restore(stage_context(stack), RetrievalStage(config=stack.retrieval))


def known_history(stack: StackConfig) -> tuple[list[str], list[int]]:
    """Of user u3, as the log has it: positive events in order of time."""
    table = pd.read_csv(stack.pipeline.interactions.path)
    table = table[(table["user_id"] == "u3") & (table["rating"] >= 4)].sort_values("timestamp")
    return table["item_id"].tolist(), table["timestamp"].tolist()


@pytest.fixture(scope="module")
def expected(stack: StackConfig, trained: Trained[TwoTowers]) -> npt.NDArray[np.float32]:
    """The scores of all items for the histories of user u3."""
    histories, times = [*HISTORIES], [*TIMES]
    histories[-1], times[-1] = known_history(stack)
    width = max(map(len, histories))
    sent = request(["u3"] * len(histories), [history + [""] * (width - len(history)) for history in histories])
    padded = [of_one + [0] * (width - len(of_one)) for of_one in times]
    sent["history_timestamps"] = tf.constant(padded, tf.int64)
    items = trained.model.embed_candidates(trained.candidates).numpy()
    scores: npt.NDArray[np.float32] = trained.model.query_tower(trained.encoder.encode_query(sent)).numpy() @ items.T
    rows = {item_id.decode(): row for row, item_id in enumerate(trained.candidates.item_ids.numpy())}
    for number, history in enumerate(histories):
        entries = [
            (rows.get(item_id, -1), time) for item_id, time in zip(history, times[number], strict=True) if item_id
        ]
        for row, plus in by_definition(trained.model.repeat_layer, *map(list, zip(*entries, strict=True))).items():
            scores[number, row] += stack.retrieval.repeat * stack.retrieval.loss.temperature * plus
    return scores


def test_served_scores_are_the_trainers(stack, trained, expected):
    sent = send()
    ids, loaded = trained.candidates.item_ids.numpy(), load(stack, "retrieval_exact")
    best = np.argsort(-expected, axis=1, kind="stable")
    answer = loaded.signatures["serving_default"](**sent)
    np.testing.assert_array_equal(answer["item_ids"], ids[best[:, :5]])
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(expected, best[:, :5], axis=1), rtol=1e-4)
    excluded = ids[best[0, :2]].tolist()
    answer = loaded.signatures["retrieve"](**sent, **restrictions(excluded), k=len(ids))
    for number, found in enumerate(answer["item_ids"].numpy().tolist()):
        assert found == [item_id for item_id in ids[best[number]] if item_id not in excluded] + [b""] * 2


def test_filters_hold_for_the_items_of_the_history(stack, trained, expected):
    sent = send()
    retrieve = load(stack, "retrieval").signatures["retrieve"]
    answer = retrieve(**sent, **restrictions(number_min=np.array([2.0], np.float32)), k=3)
    ids = trained.candidates.item_ids.numpy()
    for number, found in enumerate(answer["item_ids"].numpy().tolist()):
        order = ids[np.argsort(-expected[number], kind="stable")]
        assert found == [item_id for item_id in order if int(item_id[1:]) >= 2][:3]


def test_an_approximate_index_scores_what_it_finds_alike(stack, trained, expected):
    """Items of the history are scored exactly and never missed, whatever the index finds."""
    answer = load(stack, "retrieval").signatures["serving_default"](**send())
    catalogue = trained.candidates.item_ids.numpy().tolist()
    rows = {item_id: row for row, item_id in enumerate(catalogue)}
    for number, (ids, scores) in enumerate(zip(answer["item_ids"].numpy(), answer["scores"].numpy(), strict=True)):
        np.testing.assert_allclose(scores, expected[number, [rows[item_id] for item_id in ids]], rtol=1e-3)
        best = {catalogue[row] for row in np.argsort(-expected[number])[:5]}
        assert best & {item_id.encode() for item_id in HISTORIES[number]} <= set(ids.tolist())


@pytest.mark.parametrize("batch", [0, 2])
def test_without_any_history_the_vectors_decide(stack, trained, batch):
    sent = request(["nobody"] * batch) | {"history_timestamps": tf.zeros([batch, 1], tf.int64)}
    assert load(stack, "retrieval").signatures["retrieve"](**sent, **restrictions(), k=2)["scores"].shape == (batch, 2)
    answer = load(stack, "retrieval_exact").signatures["serving_default"](**sent)
    assert answer["item_ids"].shape == (batch, 5)
    vectors = trained.model.query_tower(trained.encoder.encode_query(sent)).numpy()
    scores = vectors @ trained.model.embed_candidates(trained.candidates).numpy().T
    np.testing.assert_allclose(answer["scores"], -np.sort(-scores, axis=1)[:, :5], rtol=1e-4)


def test_entries_beyond_the_length_count_for_nothing(stack, trained):
    """Not even as the newest one, which the ages of the others are measured from."""
    length = stack.features.history.length
    history, times = ["i7", *["i1", "i2"] * (length // 2)], [10**9, *range(100, 100 * (length + 1), 100)]
    sent = request(["u3"], [history]) | {"history_timestamps": tf.constant([times], tf.int64)}
    items = trained.model.embed_candidates(trained.candidates).numpy()
    scores = (trained.model.query_tower(trained.encoder.encode_query(sent)).numpy() @ items.T)[0]
    rows = {item_id.decode(): row for row, item_id in enumerate(trained.candidates.item_ids.numpy())}
    plus = by_definition(trained.model.repeat_layer, [rows[item_id] for item_id in history[1:]], times[1:])
    for row, value in plus.items():
        scores[row] += stack.retrieval.repeat * stack.retrieval.loss.temperature * value
    answer = load(stack, "retrieval_exact").signatures["serving_default"](**sent)
    np.testing.assert_allclose(answer["scores"][0], -np.sort(-scores)[:5], rtol=1e-4)


@pytest.mark.slow
def test_items_newer_than_the_training_count_after_a_refresh(stack, trained, tmp_path):
    """Their vectors come from their features alone, what the history adds from where they lie in it."""
    shutil.copytree(stack.workdir, tmp_path / "work")
    numbers = {"i-new": 98, **{f"i{n}": n for n in range(3, NUM_ITEMS)}}  # i0, i1 and i2 are gone: a shorter catalogue
    table = [(item_id, title(n), n, f"three{n % 3}|five{n % 5}") for item_id, n in numbers.items()]
    with (tmp_path / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item_id", "title", "number", "remainders"), *table])
    items = replace(stack.pipeline.items, path=str(tmp_path / "items.csv"))
    newer = replace(stack, workdir=tmp_path / "work", pipeline=replace(stack.pipeline, items=items))
    export(newer, refresh_index=True)
    signatures = load(newer, "retrieval_exact").signatures
    history, times = ["i-new", "i0", "i5", "i-new"], [100, 200, 300, 400]
    sent = request(["u3"], [history]) | {"history_timestamps": tf.constant([times], tf.int64)}
    vectors = signatures["embed_item"](
        item_id=tf.constant([*numbers]),
        title=tf.constant([title(n) for n in numbers.values()]),
        number=tf.constant([*numbers.values()], tf.float32),
        remainders=tf.constant([[f"three{n % 3}", f"five{n % 5}"] for n in numbers.values()]),
    )["embedding"].numpy()
    expected = dict(zip(numbers, vectors @ signatures["embed_query"](**sent)["embedding"].numpy()[0], strict=True))
    rows = {item_id: row for row, item_id in enumerate(numbers)}
    plus = by_definition(trained.model.repeat_layer, [rows.get(item_id, -1) for item_id in history], times)
    assert set(plus) == {rows["i-new"], rows["i5"]}
    for item_id, row in rows.items():
        expected[item_id] += stack.retrieval.repeat * stack.retrieval.loss.temperature * plus.get(row, 0.0)
    answer = signatures["retrieve"](**sent, **restrictions(), k=len(numbers))
    found = dict(zip(answer["item_ids"].numpy()[0].astype(str), answer["scores"].numpy()[0], strict=True))
    assert sorted(found) == sorted(expected)
    np.testing.assert_allclose([found[item_id] for item_id in expected], list(expected.values()), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_calls_that_a_server_batches_do_not_mix(stack, trained, expected, tmp_path):
    """Each of many calls at once gets the scores of its own history."""
    parameters = tmp_path / "batching.config"
    parameters.write_text("max_batch_size { value: 32 } batch_timeout_micros { value: 20000 }")
    flags = [f"--model_config_file={stack.layout.model_config}", "--enable_model_warmup=false"]
    flags += ["--enable_batching", f"--batching_parameters_file={parameters}"]
    ids = trained.candidates.item_ids.numpy()
    sent = {name: value.numpy() for name, value in send().items()}

    def ask(number: int) -> dict[str, npt.NDArray[np.generic]]:
        return client.predict({name: value[number : number + 1] for name, value in sent.items()})

    with (
        local_server(flags, tmp_path / "server.log") as address,
        RecommenderClient(address, model="retrieval_exact", timeout_seconds=60) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        answers = list(threads.map(ask, [*range(len(HISTORIES))] * 40))
    for call, answer in enumerate(answers):
        scores = expected[call % len(HISTORIES)]
        best = np.argsort(-scores, kind="stable")[:5]
        assert answer["item_ids"][0].tolist() == ids[best].tolist()
        np.testing.assert_allclose(answer["scores"][0], scores[best], rtol=1e-4)


@pytest.mark.slow
def test_the_server_answers_alike(stack, trained, expected, tmp_path):
    ids = trained.candidates.item_ids.numpy().astype(str)
    query = {"user_id": ["u3"] * len(HISTORIES), "history": HISTORIES, "history_timestamps": TIMES}
    query["timestamp"] = [1_700_000_000] * len(HISTORIES)
    flags = [f"--model_config_file={stack.layout.model_config}"]
    with (
        local_server(flags, tmp_path / "server.log") as address,
        RecommenderClient(address, model="retrieval_exact", timeout_seconds=60) as client,
    ):
        found = client.recommend(query, k=5, exclude=[["i2"]])
        with pytest.raises(
            CallError, match="history_timestamps must have one value for each item of history"
        ) as refused:
            client.recommend(query | {"history_timestamps": [times[:2] for times in TIMES]}, k=5)
    assert refused.value.code.name == "INVALID_ARGUMENT"
    for scores, row in zip(expected, found, strict=True):
        best = [number for number in np.argsort(-scores, kind="stable") if ids[number] != "i2"][:5]
        assert [item.item_id for item in row] == ids[best].tolist()
        np.testing.assert_allclose([item.score for item in row], scores[best], rtol=1e-4)
