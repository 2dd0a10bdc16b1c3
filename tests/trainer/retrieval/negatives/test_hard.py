import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.serialization import structure
from trainer.config.negatives import NegativesConfig, UniformConfig
from trainer.retrieval.negatives.base import SampledNegatives
from trainer.retrieval.negatives.hard import HardNegatives
from trainer.retrieval.negatives.uniform import UniformItems

NUM_ITEMS, DIM = 30, 4
DRAWS = np.random.default_rng(0)
ITEMS = DRAWS.normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
QUERIES = DRAWS.normal(size=(3, DIM)).astype(np.float32)


def made(a_query: int = 2, refresh_steps: int = 10) -> HardNegatives:
    return HardNegatives(NUM_ITEMS, DIM, a_query=a_query, refresh_steps=refresh_steps)


def add(hard: HardNegatives, drawn: SampledNegatives, step: int, items: np.ndarray = ITEMS) -> SampledNegatives:
    return hard.add(drawn, tf.constant(QUERIES), tf.constant(step, tf.int64), lambda: tf.constant(items))


def best(items: np.ndarray, count: int) -> set[int]:
    return set(np.argsort(-(QUERIES @ items.T), axis=1)[:, :count].ravel().tolist())


def test_the_best_items_of_each_query_are_added_with_weight_one() -> None:
    drawn = SampledNegatives(tf.constant([0, 7, 20]), tf.constant([2.0, 3.0, 4.0]))
    rows, log_weights = add(made(), drawn, 0)
    expected = dict(zip([0, 7, 20], [2.0, 3.0, 4.0], strict=True)) | dict.fromkeys(best(ITEMS, 2), 0.0)
    assert dict(zip(rows.numpy().tolist(), log_weights.numpy().tolist(), strict=True)) == expected
    assert (np.diff(rows) > 0).all()


def test_the_index_is_that_of_the_last_refresh() -> None:
    hard, nothing = made(refresh_steps=3), SampledNegatives(tf.constant([0]), tf.constant([0.0]))
    found = [
        set(add(hard, nothing, step, items).rows.numpy().tolist()) for step, items in enumerate([ITEMS] + [-ITEMS] * 3)
    ]
    before, after = best(ITEMS, 2) | {0}, best(-ITEMS, 2) | {0}
    assert found == [before, before, before, after]


@pytest.mark.slow
def test_the_sum_of_exponentials_stays_unbiased() -> None:
    hard, source = made(a_query=3), UniformItems(UniformConfig(num_negatives=6), np.ones(NUM_ITEMS, np.int64), 1)
    scores = DRAWS.normal(size=NUM_ITEMS).astype(np.float32)
    estimates = []
    for step in range(400):
        rows, log_weights = add(hard, source.draw(tf.constant([0]), tf.constant(step, tf.int64)), step)
        estimates.append(np.exp(scores[rows.numpy()] + log_weights.numpy()).sum())
    error = abs(np.mean(estimates) - np.exp(scores).sum())
    assert error < 5 * np.std(estimates) / 400**0.5


def test_more_than_the_catalogue_is_the_catalogue() -> None:
    drawn = SampledNegatives(tf.constant([4]), tf.constant([9.0]))
    rows, log_weights = add(made(a_query=99), drawn, 0)
    assert rows.numpy().tolist() == list(range(NUM_ITEMS))
    assert not log_weights.numpy().any()


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("hard_negatives", {"kind": "all", "hard_negatives": 5}),  # beside all items, where they are already
        ("hard_negatives", {"kind": "uniform", "hard_negatives": -1}),
        ("index_steps", {"kind": "in_batch", "index_steps": 0}),
        ("memory", {"kind": "cross_batch", "memory": 0}),
    ],
)
def test_a_setting_that_can_do_nothing_is_refused(field: str, settings: dict) -> None:
    with pytest.raises(ConfigError, match=f"negatives.{field}"):
        structure(settings, NegativesConfig, "retrieval.negatives")
