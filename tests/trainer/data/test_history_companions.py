"""Kinds and times of the history's events: strictly before the example, the same in every way to train and to serve."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.vocabulary import Vocabulary
from features.spec.history import HistoryEventTypesFeature, HistoryTimesFeature
from tests.trainer.small_dataset import SCHEMA as PLAIN
from tests.trainer.small_dataset import example, write_learnt_parts, write_records
from trainer.config.encoders import HSTUConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data import events as events_module
from trainer.data.batches import gather_query, sequence_examples, set_examples
from trainer.data.catalogue import load_catalogue
from trainer.data.events import HISTORY_AGES, HISTORY_ROWS, EncodedEvents, load_events
from trainer.export.histories import user_histories
from trainer.export.query import QueryInputs
from trainer.retrieval.full_ranking import query_blocks
from trainer.retrieval.model import TwoTowerModel

SCHEMA = replace(PLAIN, query=(*PLAIN.query, HistoryEventTypesFeature(), HistoryTimesFeature()))
KINDS, TIMES = "history_event_types", "history_timestamps"
VIEW, BUY = 2, 3  # after missing and one out-of-vocabulary bucket
# (item, second, kind) of one user; two events share a moment.
LOG = [(0, 100, "view"), (1, 103, "buy"), (2, 103, "view"), (3, 110, "buy"), (4, 200, "view"), (5, 1000, "buy")]


def gap(seconds: int) -> int:
    return 1 + math.floor(math.log2(seconds + 1))


def write(root: Path, log: list[tuple[int, int, str]]) -> DatasetLayout:
    layout = DatasetLayout(root)
    root.mkdir()
    items, times, kinds = zip(*log, strict=True)
    ones = [1] * len(log)
    record = example(
        user_id=["u3"],
        num_context=[0],
        item_id=[f"i{item}" for item in items],
        timestamp=list(times),
        event_type=list(kinds),
        label=[1.0] * len(log),
        weight=[1.0] * len(log),
        in_history=ones,
    )
    write_records(layout.interactions("train"), [record])
    write_learnt_parts(layout, dict.fromkeys(range(12), 1))
    Vocabulary(("view", "buy")).write(layout.vocabulary(KINDS))
    return layout


def load(layout: DatasetLayout) -> tuple[EncodedEvents, SchemaEncoder]:
    encoder = SchemaEncoder(SCHEMA, layout)
    rows = load_catalogue(layout, encoder).rows()
    return load_events(layout.interactions("train"), encoder, rows, records="retrieval"), encoder


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    return write(tmp_path_factory.mktemp("companions") / "dataset", LOG)


@pytest.fixture(scope="module")
def events(layout: DatasetLayout) -> EncodedEvents:
    return load(layout)[0]


def test_each_event_sees_kinds_and_gaps_of_what_was_strictly_before(events: EncodedEvents) -> None:
    found = gather_query(events, SCHEMA, with_entries=True)(tf.range(6, dtype=tf.int64))
    kinds, gaps = found[KINDS].numpy().tolist(), found[TIMES].numpy().tolist()
    assert kinds[:4] == [[0] * 4, [VIEW, 0, 0, 0], [VIEW, 0, 0, 0], [VIEW, BUY, VIEW, 0]]
    ages = found[HISTORY_AGES].numpy().tolist()
    assert ages[1] == [1, 0, 0, 0]
    assert ages[3] == [gap(3), gap(0), gap(0), 0]
    assert ages[5] == [gap(200 - 103), gap(200 - 103), gap(200 - 110), gap(0)]
    assert gaps[1] == gaps[2] == [0, 0, 0, 0]
    # Four are kept; what was before the first of them is not known any more.
    assert kinds[5] == [BUY, VIEW, BUY, VIEW]
    assert gaps[5] == [0, gap(0), gap(7), gap(90)]


def test_blocks_of_queries_narrow_all_that_goes_with_a_history(events: EncodedEvents) -> None:
    (block,) = query_blocks(events, SCHEMA, np.arange(2))  # nothing and one event before
    padded = gather_query(events, SCHEMA, with_entries=True)(tf.constant(block.places))
    assert {name for name in padded if padded[name].shape[1:] == [4]} >= {KINDS, TIMES, HISTORY_ROWS, HISTORY_AGES}
    for name, values in padded.items():
        np.testing.assert_array_equal(block.query[name], values[:, :1] if values.shape[1:] == [4] else values)


def _changed(layout: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What event 3 sees, in two logs that differ from it on."""
    seen = []
    for name, log in (("a", LOG), ("b", [*LOG[:3], (3, 110, "view"), (4, 111, "buy"), (5, 112, "view")])):
        found = gather_query(load(write(layout / name, log))[0], SCHEMA)(tf.constant([3], tf.int64))
        seen.append({name: found[name].numpy() for name in ("history", KINDS, TIMES)})
    return seen[0], seen[1]


@pytest.mark.slow
def test_nothing_of_the_event_itself_or_later_is_seen(tmp_path: Path) -> None:
    before, after = _changed(tmp_path)
    assert all((before[name] == after[name]).all() for name in before)


def test_a_planted_leak_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = events_module.history_ranges

    def one_too_many(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start, end = honest(*columns)
        return start, end + 1

    monkeypatch.setattr(events_module, "history_ranges", one_too_many)
    before, after = _changed(tmp_path)
    assert (before["history"] == after["history"]).all()  # the item is the same, only the kind differs
    assert (before[KINDS] != after[KINDS]).any()


def test_sequences_and_sets_hold_the_same_as_single_examples(events: EncodedEvents) -> None:
    packed = np.array([[[n, n] for n in range(5)] + [[0, -1]]], np.int64)
    beside = sequence_examples(events, SCHEMA)(tf.constant(packed))["beside"]
    assert beside[KINDS].numpy().tolist() == [[VIEW, BUY, VIEW, BUY, VIEW, 0]]
    assert beside[TIMES].numpy().tolist() == [[0, gap(3), gap(0), gap(7), gap(90), 0]]
    query = set_examples(events, SCHEMA)(tf.constant([0], tf.int64))["query"]
    assert query[KINDS].to_list() == [[VIEW, BUY, VIEW, BUY]]
    assert query[TIMES].to_list() == [[0, gap(7), gap(90), gap(800)]]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [False, True])
def test_a_request_is_encoded_as_the_training_would_have(
    layout: DatasetLayout, events: EncodedEvents, sent: bool
) -> None:
    """The user's own history, looked up or sent in full, is what the next event would have seen."""
    extended = write(layout.root.with_name(f"next-{sent}"), [*LOG, (6, 2000, "view")])
    later, _ = load(extended)
    expected = gather_query(later, SCHEMA)(tf.constant([6], tf.int64))
    _, encoder = load(layout)
    ids = [f"i{n}".encode() for n in range(12)]
    query = QueryInputs(SCHEMA, user_histories(encoder, [events], ids, enabled=True))
    request = {name: given.default for name, given in query.inputs().items() if given.default is not None}
    request["user_id"] = tf.constant(["u3"])
    if sent:
        request["user_id"] = tf.constant(["a stranger"])
        request["history"] = tf.constant([["", *(f"i{item}" for item, _, _ in LOG)]])
        request[KINDS] = tf.constant([["", *(kind for _, _, kind in LOG)]])
        request[TIMES] = tf.constant([[0, *(time for _, time, _ in LOG)]], tf.int64)
    encoded = query.encode(request, encoder)
    for name in ("history", KINDS, TIMES):
        np.testing.assert_array_equal(encoded[name], expected[name], err_msg=name)


def test_a_history_sent_without_kinds_and_times_has_none(layout: DatasetLayout, events: EncodedEvents) -> None:
    _, encoder = load(layout)
    ids = [f"i{n}".encode() for n in range(12)]
    query = QueryInputs(SCHEMA, user_histories(encoder, [events], ids, enabled=True))
    request = {name: given.default for name, given in query.inputs().items() if given.default is not None}
    request |= {"user_id": tf.constant(["u3"]), "history": tf.constant([["i7", "i8"]])}
    encoded = query.encode(request, encoder)
    assert encoded[KINDS].numpy().tolist() == encoded[TIMES].numpy().tolist() == [[0] * 4]


@pytest.mark.slow
@pytest.mark.parametrize("examples", ["event", "sequence"])
def test_the_model_learns_from_kinds_and_gaps(layout: DatasetLayout, events: EncodedEvents, examples: str) -> None:
    _, encoder = load(layout)
    model = TwoTowerModel(RetrievalConfig(dimension=8), encoder, load_catalogue(layout, encoder), seed=1)
    gather = gather_query(events, SCHEMA)
    indices = tf.constant([3, 5], tf.int64)
    batch = {
        "query": gather(indices),
        "positive_query": tf.constant([0, 1]),
        "positive_row": tf.constant([3, 5]),
        "weight": tf.ones(2),
    }
    if examples == "sequence":
        batch = dict(sequence_examples(events, SCHEMA)(tf.constant([[[n, n] for n in range(5)]], tf.int64)))
    tables = model.towers.query_tower.history_embedding.companions
    assert set(tables) == {KINDS, TIMES}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    gradients = tape.gradient(loss, [table.table for table in tables.values()])
    assert all(np.abs(tf.convert_to_tensor(gradient)).max() > 0 for gradient in gradients)
    assert {id(table.table) for table in tables.values()} <= {id(weight) for weight in model.trainable_variables}


def test_an_encoder_of_times_says_the_same_of_events_and_sequences(
    layout: DatasetLayout, events: EncodedEvents
) -> None:
    _, encoder = load(layout)
    config = RetrievalConfig(dimension=8, encoder=HSTUConfig())
    tower = TwoTowerModel(config, encoder, load_catalogue(layout, encoder), seed=1).towers.query_tower
    of_buckets = tower.history_encoder.blocks[0].times
    of_buckets.assign(np.linspace(-5, 5, of_buckets.shape[0]))
    query = gather_query(events, SCHEMA)(tf.constant([1, 3, 4], tf.int64))
    batch = sequence_examples(events, SCHEMA)(tf.constant([[[n, n] for n in range(5)]], tf.int64))
    expected = tower(query).numpy()
    np.testing.assert_allclose(tower.at_positions(batch["query"], batch), expected, atol=1e-5)
    other = tower(query | {TIMES: tf.where(query[TIMES] > 0, query[TIMES] + 9, 0)}).numpy()
    of_buckets.assign(tf.zeros_like(of_buckets))
    assert np.abs(other[1:] - expected[1:]).max() > 1e-3
    assert np.abs(expected[1:] - tower(query)[1:]).max() > 1e-3
