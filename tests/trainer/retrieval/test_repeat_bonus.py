from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.encoding.log_buckets import age_buckets
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import ConfigError
from tests.trainer.small_dataset import SCHEMA
from trainer.config.losses import LOSSES, BPRConfig, SoftmaxConfig
from trainer.config.negatives import InBatchConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.batches import basket_examples, baskets_of
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.retrieval.full_ranking import query_blocks, rank_by_model
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.repeat_bonus import EntriesOfHistories, RepeatBonusLayer

LENGTH = 5
CONFIG = RetrievalConfig(dimension=8, repeat=1.0, examples="basket", loss=SoftmaxConfig(temperature=0.2))


def trained_layer(*, with_ages: bool) -> RepeatBonusLayer:
    layer = RepeatBonusLayer(LENGTH, with_ages=with_ages)
    layer.places.assign(0.1 * np.linspace(0.5, -0.5, layer.places.shape[0]))
    if layer.ages is not None:
        layer.ages.assign(0.1 * np.linspace(0.3, -2.0, layer.ages.shape[0]))
    layer.scale.assign(0.1 * np.log(1.5))
    return layer


def by_definition(layer: RepeatBonusLayer, history: list[int], times: list[int] | None = None) -> dict[int, float]:
    """Entries oldest first: -1 is an item that is not in the catalogue, which takes a place all the same."""
    places = 10 * layer.places.numpy()
    frequency: dict[int, float] = {}
    for back, row in enumerate(reversed(history)):
        if back < layer.length and row >= 0:
            weight = places[int(np.floor(2 * np.log2(back + 1)))]
            if times is not None:
                time = times[len(history) - 1 - back]
                weight += 10 * layer.ages.numpy()[1 + int(np.log2(max(times) - time + 1)) if time > 0 else 0]
            frequency[row] = frequency.get(row, 0.0) + np.exp(weight)
    scale = np.exp(10 * float(layer.scale))
    return {row: scale * np.log(1 + count) for row, count in frequency.items()}


ENTRIES = st.lists(st.tuples(st.integers(-1, 3), st.sampled_from([0, 1, 2, 900, 10**6, 10**9])), max_size=8)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(histories=st.lists(ENTRIES, min_size=1, max_size=3), front=st.booleans(), timed=st.booleans())
def test_equals_its_definition_wherever_the_padding_is(histories, front, timed):
    layer, width = trained_layer(with_ages=timed), 9
    rows, times = np.full((len(histories), width), -1), np.zeros((len(histories), width), np.int64)
    present = np.zeros((len(histories), width), bool)
    for number, history in enumerate(histories):
        filled = slice(width - len(history), width) if front else slice(0, len(history))
        rows[number, filled], present[number, filled] = [row for row, _ in history], True
        times[number, filled] = [time for _, time in history]
    ages = age_buckets(tf.constant(times)) if timed else None
    repeats = layer(EntriesOfHistories(tf.constant(rows, tf.int32), tf.constant(present), ages))
    expected = {
        (number, row): score
        for number, history in enumerate(histories)
        for row, score in sorted(
            by_definition(layer, [row for row, _ in history], [time for _, time in history] if timed else None).items()
        )
    }
    pairs = list(zip(repeats.query.numpy().tolist(), repeats.rows.numpy().tolist(), strict=True))
    assert pairs == list(expected)
    np.testing.assert_allclose(repeats.scores, list(expected.values()), rtol=1e-5)
    asked = [(number, row) for number in range(len(histories)) for row in range(5)]
    found = repeats.of(*(tf.constant(part) for part in zip(*asked, strict=True)))
    np.testing.assert_allclose(found, [expected.get(pair, 0.0) for pair in asked], rtol=1e-5)


def test_stays_finite_whatever_is_learnt():
    layer = trained_layer(with_ages=False)
    layer.places.assign(tf.fill(layer.places.shape, 99.0))
    layer.scale.assign(99.0)
    entries = EntriesOfHistories(tf.constant([[1, 1, 2]]), tf.constant([[True] * 3]), None)
    assert np.isfinite(layer(entries).scores).all()


def make(dataset, config=CONFIG):
    encoder = SchemaEncoder(SCHEMA, dataset)
    candidates = load_catalogue(dataset, encoder)
    model = TwoTowerModel(config, encoder, candidates, seed=1)
    if model.towers.repeat_layer is not None:
        model.towers.repeat_layer.places.assign([0.1, 0.0, 0.05, 0.02, -0.03])
    events = load_events(dataset.interactions("train"), encoder, candidates.rows(), records="retrieval")
    return model, candidates, events


def scores_of(model, candidates, query):
    """Inner products, and what is added to them, as one matrix."""
    scores = model.towers.query_tower(query).numpy() @ model.towers.embed_candidates(candidates).numpy().T
    repeats = model.towers.repeats(query)
    if repeats is not None:
        np.add.at(scores, (repeats.query.numpy(), repeats.rows.numpy()), repeats.scores.numpy())
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"loss": BPRConfig()}, {"negatives": InBatchConfig()}])
def test_loss_is_that_of_the_scores_with_what_is_added(small_dataset, changes):
    config = replace(CONFIG, **changes)
    is_softmax, in_batch = LOSSES.name_of(config.loss) == "softmax", "negatives" in changes
    model, candidates, events = make(small_dataset, config)
    batch = basket_examples(events, SCHEMA, baskets_of(events), with_entries=True)(tf.range(12, dtype=tf.int64))
    logits = scores_of(model, candidates, batch["query"]) / config.loss.temperature
    query, positive = batch["positive_query"].numpy(), batch["positive_row"].numpy()
    drawn = np.unique(positive) if in_batch else np.arange(len(candidates))
    expected = 0.0
    source = model._source.draw(batch["positive_row"], model.step)
    assert source.rows.numpy().tolist() == drawn.tolist()
    for number, row, weight in zip(query, positive, batch["weight"].numpy(), strict=True):
        others = np.array([place for place, other in enumerate(drawn) if other != row])
        negative = logits[number, drawn[others]] + (source.log_weights.numpy()[others] if is_softmax else 0)
        if is_softmax:
            expected += weight * np.log1p(np.exp(negative - logits[number, row]).sum())
        else:
            expected += weight * np.mean(np.log1p(np.exp(negative - logits[number, row])))
    np.testing.assert_allclose(model.compute_loss(batch), expected, rtol=1e-4)


def test_ranks_by_the_sum_and_learns_all_its_weights(small_dataset):
    model, candidates, events = make(small_dataset)
    asked = np.arange(1, 20)
    blocks = list(query_blocks(events, SCHEMA, asked))
    expected = np.concatenate([scores_of(model, candidates, block.query) for block in blocks])
    expected = expected[np.argsort(np.concatenate([block.places for block in blocks]))]
    ranked = rank_by_model(model.towers, candidates, blocks, 4)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(ranked.item_rows, order)
    np.testing.assert_allclose(ranked.scores, np.take_along_axis(expected, order, axis=1), rtol=1e-5)
    batch = basket_examples(events, SCHEMA, baskets_of(events), with_entries=True)(tf.range(60, dtype=tf.int64))
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    # A history of at most four items has three kinds of places: the last but none, the last but one, those before.
    gradient = tf.convert_to_tensor(tape.gradient(loss, model.towers.repeat_layer.places)).numpy()
    assert (gradient[[0, 2, 3]] != 0).all()
    assert (gradient[[1, 4]] == 0).all()


@pytest.mark.slow
def test_served_scores_take_it_as_many_times_as_configured(small_dataset):
    once, _, events = make(small_dataset)
    twice, _, _ = make(small_dataset, replace(CONFIG, repeat=2.0))
    block = next(query_blocks(events, SCHEMA, np.arange(8))).query
    np.testing.assert_allclose(twice.towers.repeats(block).scores, 2 * once.towers.repeats(block).scores, rtol=1e-6)
    batch = basket_examples(events, SCHEMA, baskets_of(events), with_entries=True)(tf.range(9, dtype=tf.int64))
    np.testing.assert_allclose(twice.compute_loss(batch), once.compute_loss(batch), rtol=1e-6)


def test_without_it_nothing_is_added(small_dataset):
    model, _, events = make(small_dataset, replace(CONFIG, repeat=0.0))
    assert model.towers.repeats(next(query_blocks(events, SCHEMA, np.arange(3))).query) is None


def test_negative_is_refused():
    with pytest.raises(ConfigError, match=r"retrieval\.repeat.*-1"):
        RetrievalConfig(repeat=-1.0)


@pytest.mark.parametrize("examples", ["set", "sequence"])
def test_is_refused_where_examples_have_no_history_of_their_own(examples):
    with pytest.raises(ConfigError, match=r"retrieval\.repeat"):
        RetrievalConfig(repeat=1.0, examples=examples)
