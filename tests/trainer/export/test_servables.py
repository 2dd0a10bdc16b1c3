"""The exported checkerboard models: loaded again, by a process without recstack too, and compared with the trainer."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import MODEL_NAMES, ModelName
from recstack.config import StackConfig
from tests.checkerboard import NUM_ITEMS, item, likes, title
from tests.trainer.export.loading import load
from trainer.restore import Trained

STRANGE_USERS = ["u0", "u1", "nobody", "", "ünï\x00code\n", "u39"]


def request(users: list[str], history: list[list[str]] | None = None) -> dict[str, tf.Tensor]:
    return {
        "user_id": tf.constant(users, tf.string),
        "history": tf.constant(
            history or [[""]] * len(users), tf.string, shape=(len(users), len((history or [[""]])[0]))
        ),
        "timestamp": tf.constant([1_700_000_000] * len(users), tf.int64),
    }


def restrictions(exclude: list[str] | None = None, **filters: tf.Tensor) -> dict[str, tf.Tensor]:
    """Everything optional, as a Python program has to send it; what is not given restricts nothing."""
    strings = ("allow_item_ids", "remainders_any_of", "remainders_none_of")
    bounds = ("number_min", "number_max")
    return {
        "exclude_item_ids": tf.constant([exclude or [""]]),
        **{name: tf.constant([[""]]) for name in strings},
        **{name: tf.constant([np.nan], tf.float32) for name in bounds},
        **filters,
    }


def choices(diversity: float = np.nan) -> dict[str, tf.Tensor]:
    """What `recommender` takes besides; NaN is the configured diversity."""
    lists = ("shown_item_ids", "remainders_boosted", "remainders_buried")
    return {
        "exclude_seen": tf.constant(True),
        "diversity": tf.constant([diversity], tf.float32),
        "new_item_share": tf.constant([np.nan], tf.float32),
        **{name: tf.constant([[""]]) for name in lists},
    }


def test_exact_retrieval_equals_the_trainer(trained: Trained, exact: Any) -> None:
    sent = request(STRANGE_USERS, [["i0", "i2"], ["i1", ""], ["", "i3"], ["", ""], ["zzz", "i4"], ["i5", "i7"]])
    raw = dict(sent)
    # The empty history is the one that the model looks up; an unknown user has none.
    queries = trained.model.query_tower(trained.encoder.encode_query(raw)).numpy()
    items = trained.model.embed_candidates(trained.candidates).numpy()
    ids = trained.candidates.item_ids.numpy()
    scores = queries @ items.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    answer = exact.signatures["serving_default"](**sent)
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(scores, order, axis=1), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(answer["item_ids"], ids[order])
    np.testing.assert_allclose(exact.signatures["embed_query"](**sent)["embedding"], queries, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_every_batch_size_is_answered(exact: Any, batch: int) -> None:
    answer = exact.signatures["serving_default"](**request(["u1"] * batch))
    assert answer["item_ids"].shape == (batch, 5)


def test_history_of_a_known_user_is_looked_up(exact: Any, checkerboard: StackConfig) -> None:
    from recstack.display import read_display_data

    catalogue = read_display_data(checkerboard.features, checkerboard.layout.dataset)
    looked_up = exact.signatures["embed_query"](**request(["u3"]))["embedding"]
    sent = exact.signatures["embed_query"](**request(["u3"], [list(catalogue.histories["u3"])]))["embedding"]
    other = exact.signatures["embed_query"](**request(["u3"], [["i0", "i2"]]))["embedding"]
    np.testing.assert_allclose(looked_up, sent, rtol=1e-6)
    assert not np.allclose(looked_up, other)


def test_item_embedding_from_raw_features_is_the_indexed_one(trained: Trained, exact: Any) -> None:
    items = trained.model.embed_candidates(trained.candidates).numpy()
    ids = [value.decode() for value in trained.candidates.item_ids.numpy()]
    numbers = [int(item_id[1:]) for item_id in ids]
    answer = exact.signatures["embed_item"](
        item_id=tf.constant(ids),
        title=tf.constant([title(n) for n in numbers]),
        number=tf.constant(numbers, tf.float32),
        remainders=tf.constant([[f"three{n % 3}", f"five{n % 5}"] for n in numbers]),
    )
    np.testing.assert_allclose(answer["embedding"], items, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["retrieval", "retrieval_exact"])
def test_excluded_items_are_replaced_by_the_next_best(checkerboard: StackConfig, model: ModelName) -> None:
    loaded = load(checkerboard, model)
    every = loaded.signatures["retrieve"](**request(["u2"]), k=tf.constant(NUM_ITEMS), **restrictions())
    full = every["item_ids"].numpy()[0].tolist()
    assert sorted(full) == sorted(item(n).encode() for n in range(NUM_ITEMS))
    excluded = [full[0], full[2], b"unknown", b""]
    answer = loaded.signatures["retrieve"](**request(["u2"]), k=tf.constant(4), **restrictions(excluded))[
        "item_ids"
    ].numpy()[0]
    assert answer.tolist() == [full[1], full[3], full[4], full[5]]


@pytest.mark.parametrize("model", ["retrieval", "retrieval_exact"])
@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({"number_min": tf.constant([30.0])}, lambda n: n >= 30),
        ({"number_min": tf.constant([5.0]), "number_max": tf.constant([9.0])}, lambda n: 5 <= n <= 9),
        ({"remainders_any_of": tf.constant([["three0", "five1"]])}, lambda n: n % 3 == 0 or n % 5 == 1),
        ({"remainders_none_of": tf.constant([["three0", "three1"]])}, lambda n: n % 3 == 2),
        ({"allow_item_ids": tf.constant([["i3", "i4", "unknown"]])}, lambda n: n in (3, 4)),
        ({"remainders_any_of": tf.constant([["nothing has this"]])}, lambda n: False),
    ],
)
def test_filters_keep_what_passes_in_order(
    checkerboard: StackConfig, model: ModelName, filters: dict[str, tf.Tensor], passes: Callable[[int], bool]
) -> None:
    retrieve = load(checkerboard, model).signatures["retrieve"]
    everything = {"k": tf.constant(NUM_ITEMS), **request(["u2"])}
    full = retrieve(**everything, **restrictions())["item_ids"].numpy()[0].tolist()
    kept = retrieve(**everything, **restrictions(**filters))["item_ids"].numpy()[0].tolist()
    expected = [item_id for item_id in full if passes(int(item_id[1:]))]
    assert kept == expected + [b""] * (NUM_ITEMS - len(expected))


def test_more_items_than_there_are_is_padding(exact: Any) -> None:
    answer = exact.signatures["retrieve"](**request(["u2"]), k=tf.constant(NUM_ITEMS + 2), **restrictions(["i0"]))
    assert answer["item_ids"].numpy()[0, -3:].tolist() == [b"", b"", b""]
    assert np.isneginf(answer["scores"].numpy()[0, -3:]).all()


@pytest.mark.slow
@pytest.mark.parametrize(("k", "expected"), [(-1, "at least 0"), (2**31 - 1, "at most 10000")])
def test_count_that_is_none_or_takes_all_memory_is_refused(
    exact: Any, checkerboard: StackConfig, k: int, expected: str
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"k must be {expected}"):
        exact.signatures["retrieve"](**request(["u2"]), k=tf.constant(k), **restrictions())
    recommend = load(checkerboard, "recommender").signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"limit must be {expected}"):
        recommend(**request(["u2"]), limit=tf.constant(k), **choices(), **restrictions())


@pytest.mark.slow
def test_another_number_of_rows_than_queries_is_refused_by_name(exact: Any) -> None:
    sent = request(["u0", "u1", "u2"]) | {"history": tf.constant([["i0"], ["i1"]])}
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="history: expected one row for all queries or one for each"
    ):
        exact.signatures["retrieve"](**sent, k=tf.constant(3), **restrictions())
    sent["history"] = sent["history"][:1]  # stands for all three
    every = exact.signatures["retrieve"](**sent, k=tf.constant(3), **restrictions())
    alone = exact.signatures["retrieve"](**request(["u1"], [["i0"]]), k=tf.constant(3), **restrictions())
    assert every["item_ids"][1].numpy().tolist() == alone["item_ids"][0].numpy().tolist()


def test_ranking_tells_liked_from_disliked(checkerboard: StackConfig) -> None:
    ids = [item(n) for n in range(NUM_ITEMS)]
    users = ["u4", "u7"]
    answer = load(checkerboard, "ranking").signatures["serving_default"](
        **request(users), item_ids=tf.constant([[*ids, "", "unknown"]] * 2)
    )
    probabilities = answer["label"].numpy()
    assert (probabilities[:, -2] == 0).all()
    for user, row in zip(users, probabilities, strict=True):
        expected = [likes(user, item_id) for item_id in ids]
        assert ((row[:-2] > 0.5) == expected).all()


def test_recommender_leaves_out_history_and_exclusions_and_returns_what_is_liked(checkerboard: StackConfig) -> None:
    loaded = load(checkerboard, "recommender")
    history = [item(n) for n in range(0, 12, 2)]
    answer = loaded.signatures["serving_default"](
        **request(["u8"], [history]), limit=tf.constant(5), **choices(), **restrictions(["i12"])
    )
    items = [value.decode() for value in answer["item_ids"].numpy()[0]]
    assert len(set(items)) == 5
    assert not set(items) & {*history, "i12"}
    assert all(likes("u8", item_id) for item_id in items)
    scores = answer["scores"].numpy()[0]
    assert (np.diff(scores) <= 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_limit_beyond_the_catalogue_is_padding(checkerboard: StackConfig) -> None:
    answer = load(checkerboard, "recommender").signatures["serving_default"](
        **request(["u8"]), limit=tf.constant(NUM_ITEMS + 5), **choices(), **restrictions()
    )
    assert answer["item_ids"].shape == (1, NUM_ITEMS + 5)
    assert answer["item_ids"].numpy()[0, -5:].tolist() == [b""] * 5


def test_diversity_zero_is_the_order_without_and_scores_stay_with_their_items(checkerboard: StackConfig) -> None:
    recommend = load(checkerboard, "recommender").signatures["serving_default"]

    def scored(diversity: float, users: list[str]) -> list[dict[bytes, float]]:
        answer = recommend(**request(users), limit=tf.constant(12), **choices(diversity), **restrictions())
        pairs = zip(answer["item_ids"].numpy(), answer["scores"].numpy(), strict=True)
        return [dict(zip(items.tolist(), scores.tolist(), strict=True)) for items, scores in pairs]

    users = ["u8", "u3", "nobody"]
    plain, off, diverse = scored(np.nan, users), scored(0.0, users), scored(1.0, users)
    assert [list(each.items()) for each in plain] == [list(each.items()) for each in off]
    assert [list(each) for each in plain] != [list(each) for each in diverse]
    for before, after in zip(plain, diverse, strict=True):
        assert next(iter(before)) == next(iter(after))
        shared = before.keys() & after.keys()
        np.testing.assert_allclose([before[each] for each in shared], [after[each] for each in shared], rtol=1e-6)


@pytest.mark.parametrize("diversity", [-0.1, 1.5, np.inf])
def test_diversity_out_of_range_is_refused(checkerboard: StackConfig, diversity: float) -> None:
    recommend = load(checkerboard, "recommender").signatures["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="diversity must be from 0 to 1"):
        recommend(**request(["u2"]), limit=tf.constant(3), **choices(diversity), **restrictions())


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_of_new_items_out_of_range_is_refused(checkerboard: StackConfig, share: float) -> None:
    recommend = load(checkerboard, "recommender").signatures["serving_default"]
    given = choices() | {"new_item_share": tf.constant([share], tf.float32)}
    with pytest.raises(tf.errors.InvalidArgumentError, match="new_item_share must be from 0 to 1"):
        recommend(**request(["u2"]), limit=tf.constant(3), **given, **restrictions())


def test_a_limit_beyond_the_candidates_re_ranks_them_and_keeps_the_others_order(checkerboard: StackConfig) -> None:
    recommend = load(checkerboard, "recommender").signatures["serving_default"]
    size = checkerboard.export.recommender_candidates
    plain, diverse = (
        recommend(**request(["u8"]), limit=tf.constant(size + 4), **choices(value), **restrictions())["item_ids"]
        .numpy()[0]
        .tolist()
        for value in (0.0, 0.8)
    )
    assert plain[:size] != diverse[:size]
    assert sorted(plain[:size]) == sorted(diverse[:size])
    assert plain[size:] == diverse[size:]


def test_shown_boosted_and_buried_items_change_their_chances_by_the_configured_factors(
    checkerboard: StackConfig,
) -> None:
    recommend = load(checkerboard, "recommender").signatures["serving_default"]
    size = checkerboard.export.recommender_candidates

    def chances(**asked: list[list[str]]) -> list[dict[str, float]]:
        given = choices() | {name: tf.constant(values) for name, values in asked.items()}
        answer = recommend(**request(["u8", "u3"]), limit=tf.constant(size), **given, **restrictions())
        ids, scores = answer["item_ids"].numpy().astype(str), answer["scores"].numpy()
        assert (np.diff(scores, axis=1) <= 0).all()
        return [dict(zip(*pair, strict=True)) for pair in zip(ids, scores, strict=True)]

    plain = chances()
    twice, once, *_ = plain[0]
    found = chances(
        shown_item_ids=[[twice, once, twice, "unknown"], [""] * 4],
        remainders_boosted=[["three0", "five1"]],  # for both queries
        remainders_buried=[["five0"], [""]],
    )
    factor, kept = checkerboard.export.boost_factor, 1 - checkerboard.export.shown_discount
    for place, (before, after) in enumerate(zip(plain, found, strict=True)):
        assert before.keys() == after.keys()
        for name, chance in before.items():
            n = int(name[1:])
            expected = chance * (factor if n % 3 == 0 or n % 5 == 1 else 1.0)
            if place == 0:
                expected *= kept ** ((name == twice) * 2 + (name == once)) / (factor if n % 5 == 0 else 1.0)
            assert after[name] == pytest.approx(expected, rel=1e-5)


STAGES_OF = {
    "retrieval": {"retrieval"},
    "retrieval_exact": {"retrieval"},
    "ranking": {"ranking"},
    "recommender": {"retrieval", "ranking"},
}


def test_manifest_says_what_the_version_was_made_from(checkerboard: StackConfig) -> None:
    for model in MODEL_NAMES:
        manifest = json.loads(checkerboard.layout.model(model).manifest(1).read_text())
        assert manifest["schema_fingerprint"] == checkerboard.features.fingerprint()
        assert {"dataset", *STAGES_OF[model]} <= manifest["inputs"].keys()
        assert not ({"retrieval", "ranking"} - STAGES_OF[model]) & manifest["inputs"].keys()
        assert {"recstack", "tensorflow", "scann"} <= manifest["producer"].keys()


_CONSUMER = """
import json, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import tensorflow as tf
if {scann}:
    import scann
loaded = tf.saved_model.load({path!r})
answer = loaded.signatures["serving_default"](
    user_id=tf.constant(["u1"]), history=tf.constant([[""]]), timestamp=tf.constant([0], tf.int64))
print(json.dumps(answer["item_ids"].numpy()[0].astype(str).tolist()))
"""
OURS = ["recstack", "features", "trainer", "serving", "beam_pipelines", "tensorflow_recommenders"]


@pytest.mark.parametrize(("model", "scann"), [("retrieval", True), ("retrieval_exact", False)])
@pytest.mark.slow
def test_a_program_without_recstack_loads_the_model(
    checkerboard: StackConfig, model: ModelName, scann: bool, tmp_path: Path
) -> None:
    code = _CONSUMER.format(
        absent=OURS if scann else [*OURS, "scann"],
        scann=scann,
        path=str(checkerboard.layout.model(model).version(1)),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = load(checkerboard, model).signatures["serving_default"](
        user_id=tf.constant(["u1"]), history=tf.constant([[""]]), timestamp=tf.constant([0], tf.int64)
    )
    assert json.loads(done.stdout.splitlines()[-1]) == expected["item_ids"].numpy()[0].astype(str).tolist()


def test_exporting_again_does_nothing(checkerboard: StackConfig, capsys: pytest.CaptureFixture[str]) -> None:
    from recstack.console import Voice
    from recstack.verbs.export import export

    exported = export(checkerboard, Voice("export", as_json=True))
    assert all(entry.nothing_to_do and entry.version == 1 for entry in exported)
    assert json.loads(capsys.readouterr().out)["nothing_to_do"] is True
