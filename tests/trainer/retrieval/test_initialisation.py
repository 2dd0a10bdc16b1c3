from pathlib import Path

import numpy as np
import pytest

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, record, write_learnt_parts, write_records
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.events import EncodedEvents, load_events
from trainer.retrieval.initialisation import (
    cooccurrences,
    initialise_items,
    sequence_vectors,
    set_vectors,
    sets_of_items,
    tempered,
)
from trainer.retrieval.model import TwoTowerModel

FIRST = 2  # after missing and one out-of-vocabulary bucket
NUM_INDICES = FIRST + NUM_ITEMS


def load(root: Path, sequences: list[list[int]]) -> tuple[EncodedEvents, SchemaEncoder, EncodedCatalogue]:
    layout = root_layout(root)
    records = [record(user, items, list(range(1, len(items) + 1))) for user, items in enumerate(sequences)]
    write_records(layout.interactions("train"), records)
    write_learnt_parts(layout, dict.fromkeys(range(NUM_ITEMS), 1))
    encoder = SchemaEncoder(SCHEMA, layout)
    candidates = load_catalogue(layout, encoder)
    return (
        load_events(layout.interactions("train"), encoder, candidates.rows(), records="retrieval"),
        encoder,
        candidates,
    )


def root_layout(root: Path) -> DatasetLayout:
    (root / "dataset").mkdir()
    return DatasetLayout(root / "dataset")


def test_cooccurrence_counts_pairs_by_their_distance(tmp_path):
    events, _, _ = load(tmp_path, [[0, 1, 2], [0, 1]])
    counts = cooccurrences(events, num_indices=NUM_INDICES).toarray()
    assert counts[FIRST, FIRST + 1] == pytest.approx((1 + 1) / (2 * 2) ** 0.4)  # neighbours for both users
    assert counts[FIRST, FIRST + 2] == pytest.approx(0.7 / (2 * 1) ** 0.4)  # two steps apart for one
    np.testing.assert_allclose(counts, counts.T)


@pytest.mark.slow
def test_vectors_of_sets_are_those_of_their_cooccurrence(tmp_path):
    events, _, _ = load(tmp_path, [[0, 1, 2, 3], [0, 1], [4, 5], [2, 4, 6]])
    sets = sets_of_items(events, num_indices=NUM_INDICES)
    vectors = set_vectors(sets, rank=4, seed=0)  # the rank of four different sets
    np.testing.assert_allclose(vectors @ vectors.T, (sets.T @ sets).toarray(), atol=1e-6)


def test_vectors_of_sequences_keep_the_largest_eigenvalues(tmp_path):
    events, _, _ = load(tmp_path, [[0, 1, 2], [0, 1], [4, 5], [2, 4, 6]])
    counts = cooccurrences(events, num_indices=NUM_INDICES)
    lengths = np.linalg.norm(sequence_vectors(counts, rank=3, seed=0), axis=0)
    largest = np.sort(np.abs(np.linalg.eigvalsh(counts.toarray())))[::-1][:3]
    np.testing.assert_allclose(lengths**2, largest, rtol=1e-4)


def test_tempered_lengths_differ_less_and_zero_stays_zero():
    vectors = tempered(np.array([[4.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]))
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(lengths[:3] / lengths[1], [2**0.5, 1, 1])  # 4 is clipped to twice the median
    assert lengths[3] == 0
    assert np.mean(vectors[:3] ** 2) == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("examples", ["set", "sequence"])
def test_items_used_by_the_same_users_start_alike(tmp_path, examples):
    even, odd = [0, 2, 4, 6], [1, 3, 5, 7]
    events, encoder, candidates = load(tmp_path, [even, even[::-1], odd, odd[::-1]])
    config = RetrievalConfig(dimension=8, examples=examples, initialisation="svd")
    model = TwoTowerModel(config, encoder, candidates, seed=0)
    before = model.towers.pairs[0].items.table.numpy()
    initialise_items(model, events, candidates, config, seed=0)
    table = model.towers.pairs[0].items.table.numpy()
    of_even, of_odd = table[[FIRST + item for item in even]], table[[FIRST + item for item in odd]]
    assert np.abs(of_even @ of_odd.T).max() < 1e-6
    assert (of_even @ of_even.T).mean() > 0.1
    np.testing.assert_array_equal(table[FIRST + 8 :], before[FIRST + 8 :])  # never seen: as they were


@pytest.mark.slow
def test_random_start_is_left_alone(tmp_path):
    events, encoder, candidates = load(tmp_path, [[0, 1], [2, 3]])
    config = RetrievalConfig(dimension=8)
    model = TwoTowerModel(config, encoder, candidates, seed=0)
    before = model.towers.pairs[0].items.table.numpy()
    initialise_items(model, events, candidates, config, seed=0)
    np.testing.assert_array_equal(model.towers.pairs[0].items.table.numpy(), before)
