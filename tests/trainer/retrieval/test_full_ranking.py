import numpy as np
import pytest
import tensorflow as tf

from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import SCHEMA
from trainer.config.encoders import ENCODERS
from trainer.config.retrieval import RetrievalConfig
from trainer.data.batches import gather_query
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.metrics.protocol import Ragged
from trainer.retrieval import full_ranking
from trainer.retrieval.full_ranking import embed_queries, query_blocks, rank_by_model, rank_some
from trainer.retrieval.model import TwoTowerModel


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODERS.names)
def test_blocks_are_as_wide_as_their_histories_and_change_nothing(small_dataset, monkeypatch, kind):
    """Events 0, 1, 2 and 3 of a user have so many before them: three a block, shorter histories first."""
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    candidates = load_catalogue(small_dataset, encoder)
    events = load_events(small_dataset.interactions("train"), encoder, candidates.rows(), records="retrieval")
    repeat = 1.0 if kind == "recency" else 0.0
    config = RetrievalConfig(dimension=4, encoder=ENCODERS.options(kind)(), repeat=repeat)
    towers = TwoTowerModel(config, encoder, candidates, seed=0).towers
    asked = np.array([7, 0, 6, 3, 5, 2, 4, 1, 11])  # lengths 3, 0, 2, 3, 1, 2, 0, 1, 3
    monkeypatch.setattr(full_ranking, "_QUERIES_A_BLOCK", 3)
    blocks = list(query_blocks(events, SCHEMA, asked))
    assert [block.places.tolist() for block in blocks] == [[1, 6, 4], [7, 2, 5], [0, 3, 8]]
    assert [block.query["history"].shape[1] for block in blocks] == [1, 2, 3]
    padded = gather_query(events, SCHEMA, with_entries=True)(tf.constant(asked))
    vectors, added = embed_queries(towers, blocks, len(candidates))
    np.testing.assert_allclose(vectors, towers.query_tower(padded), rtol=1e-5, atol=1e-6)
    repeats = towers.repeats(padded)
    assert (added is None) == (repeats is None) == (not repeat)
    if added is not None:
        expected = np.zeros(added.shape, np.float32)
        expected[repeats.query, repeats.rows] = repeats.scores
        np.testing.assert_allclose(added.toarray(), expected, rtol=1e-6)


def test_blocks_of_long_histories_hold_fewer_queries(small_dataset, monkeypatch):
    """A transformer takes memory for each place of a block: at most four here, unless one query has more."""
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    rows = load_catalogue(small_dataset, encoder).rows()
    events = load_events(small_dataset.interactions("train"), encoder, rows, records="retrieval")
    monkeypatch.setattr(full_ranking, "_PLACES_A_BLOCK", 4)
    blocks = list(query_blocks(events, SCHEMA, np.array([7, 0, 6, 3, 5, 2, 4, 1, 11])))
    assert [block.places.tolist() for block in blocks] == [[1, 6, 4, 7], [2, 5], [0], [3], [8]]
    assert [block.query["history"].shape for block in blocks] == [(4, 1), (2, 2), (1, 3), (1, 3), (1, 3)]


def test_a_few_items_rank_among_themselves_as_in_the_whole_catalogue(small_dataset):
    encoder = SchemaEncoder(SCHEMA, small_dataset)
    candidates = load_catalogue(small_dataset, encoder)
    events = load_events(small_dataset.interactions("train"), encoder, candidates.rows(), records="retrieval")
    towers = TwoTowerModel(RetrievalConfig(dimension=4), encoder, candidates, seed=0).towers
    asked = np.array([3, 7, 11])
    some = np.array([0, 2, 3])
    seen = Ragged.from_lengths(np.array([2, 0, 1]), np.array([1, 2, 3]))
    everything = rank_by_model(towers, candidates, query_blocks(events, SCHEMA, asked), len(candidates), seen=seen)
    expected = [[row for row in of_query if row in some] for of_query in everything.item_rows]
    found = rank_some(towers, candidates, query_blocks(events, SCHEMA, asked), some, len(some), seen=seen)
    assert [[row for row in of_query if row >= 0] for of_query in found] == expected
    assert [len(of_query) for of_query in expected] == [2, 3, 2]
