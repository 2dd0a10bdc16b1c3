import numpy as np
import pytest

from tests.checkerboard import liked_by
from tests.trainer.retrieval.test_initialisation import FIRST, NUM_INDICES, load
from tests.trainer.small_dataset import NUM_ITEMS
from trainer.config.augmentation import AugmentationConfig
from trainer.retrieval import similar_items as module
from trainer.retrieval.similar_items import SimilarItems, similar_items, similar_items_for


def found_in(events, count: int) -> SimilarItems:
    return similar_items(events, num_indices=NUM_INDICES, first_index=FIRST, count=count)


def by_definition(sequences: list[list[int]], count: int) -> np.ndarray:
    """Rows of the embeddings, most similar first, of equal ones the lowest first."""
    taken = np.zeros((len(sequences), NUM_ITEMS))
    for user, items in enumerate(sequences):
        taken[user, items] = 1
    common = taken.T @ taken
    cosines = common / np.sqrt(np.outer(common.diagonal(), common.diagonal()).clip(1))
    np.fill_diagonal(cosines, 0)
    rows = np.zeros((NUM_ITEMS, count), int)
    for item, row in enumerate(cosines):
        best = [other for other in np.argsort(-row, kind="stable")[:count] if row[other] > 0]
        rows[item, : len(best)] = FIRST + np.array(best, int)
        if not best:
            rows[item, 0] = FIRST + item
    return rows


@pytest.mark.parametrize("block", [1, 30, 10**6])
def test_are_those_with_the_largest_cosines(tmp_path, monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK_PAIRS", block)
    draw = np.random.default_rng(3)
    # The last two items are nobody's, and the one before them is taken alone.
    sequences = [[*draw.integers(0, NUM_ITEMS - 3, draw.integers(1, 7)).tolist()] for _ in range(12)] + [
        [NUM_ITEMS - 3]
    ]
    events, _, _ = load(tmp_path, sequences)
    found = found_in(events, count=4)
    np.testing.assert_array_equal(found.rows[FIRST:], by_definition(sequences, 4))
    np.testing.assert_array_equal(found.counts, (found.rows > 0).sum(axis=1).clip(1))
    assert found.counts[FIRST:].min() == 1 < found.counts.max()


def test_those_of_a_checkerboard_have_the_same_parity(tmp_path):
    events, encoder, _ = load(tmp_path, [liked_by(user, NUM_ITEMS) for user in range(8)])
    found = similar_items_for(AugmentationConfig(substitute=0.1, neighbours=10), events, encoder)
    assert found is not None
    for item in range(NUM_ITEMS):
        similar = found.rows[FIRST + item, : found.counts[FIRST + item]] - FIRST
        assert sorted(similar) == [other for other in liked_by(item, NUM_ITEMS) if other != item]


def test_missing_and_unknown_items_stay_as_they_are(tmp_path):
    events, _, _ = load(tmp_path, [[0, 1, 999], [0, 1, 999], [0, 1]])
    found = found_in(events, count=4)
    assert found.rows[:FIRST, 0].tolist() == [0, 1]
    assert found.counts[:FIRST].tolist() == [1, 1]
    assert found.rows[FIRST].tolist() == [FIRST + 1, 0, 0, 0]


def test_are_not_looked_for_in_vain(tmp_path):
    events, encoder, _ = load(tmp_path, [[0, 1]])
    assert similar_items_for(AugmentationConfig(crop=0.5, mask=0.5), events, encoder) is None
    assert similar_items_for(AugmentationConfig(substitute=0.5), None, encoder) is None
