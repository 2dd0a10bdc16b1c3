"""How far the scores of new items are shifted, where the right shift is known."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import tensorflow as tf

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.vocabulary import Vocabulary
from features.errors import ConfigError
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, record, write_records, write_small_dataset
from trainer.config.evaluation import EvaluationConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.metrics.protocol import Ragged
from trainer.metrics.top_k import Rankings
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.new_items import SHIFTS, RankedApart, bearable_shift, ranked_apart
from trainer.retrieval.validation import RetrievalValidation

SCALE, TEMPERATURE = 0.5, 0.1


def rankings(rows: list[list[int]], scores: list[list[float]]) -> Rankings:
    return Rankings(np.array(rows), np.array(scores, np.float32))


class TestBearableShift:
    # Two queries: the first wants the new item 9, the second the known item 2, which is the last of its three.
    KNOWN = rankings([[0, 1, 2], [0, 1, 2]], [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    TARGETS = Ragged.from_lengths(np.array([1, 1]), np.array([9, 2]))

    def shift(self, new_scores: list[list[float]], cost: float = 0.001) -> float:
        return bearable_shift(self.found([[9], [9]], new_scores), self.TARGETS, SCALE, 3, cost=cost)

    def found(self, rows: list[list[int]], scores: list[list[float]]) -> RankedApart:
        return RankedApart(self.KNOWN, rankings(rows, scores), np.arange(10) > 2)

    def test_new_items_rise_until_one_would_push_a_target_out(self) -> None:
        # Item 9 tops the first list above a lift of 1.9; above 3 it pushes the second query's target out.
        assert self.shift([[1.1], [-2.0]]) == 3.0

    def test_all_of_it_where_it_costs_nothing(self) -> None:
        assert self.shift([[1.1], [-9.0]]) == SCALE * max(SHIFTS)

    def test_more_may_be_given_away(self) -> None:
        scores = [[2.9], [0.5]]
        assert self.shift(scores, cost=0.9) == SCALE * max(SHIFTS)
        assert self.shift(scores) < SCALE * max(SHIFTS)

    def test_items_that_stand_too_high_sink(self) -> None:
        # Nobody wants the new item, which pushes the second query's target out.
        targets = Ragged.from_lengths(np.array([1, 1]), np.array([0, 2]))
        assert bearable_shift(self.found([[9], [9]], [[1.5], [1.5]]), targets, SCALE, 3, cost=0.0) == -0.5

    def test_none_where_no_shift_finds_anything(self) -> None:
        targets = Ragged.from_lengths(np.array([1, 1]), np.array([7, 8]))
        assert bearable_shift(self.found([[9], [9]], [[1.5], [1.5]]), targets, SCALE, 3, cost=0.1) == 0.0

    def test_new_items_take_no_more_places_than_they_are_wanted(self) -> None:
        # What is wanted is at the top of every list, so that other new items could have all other places for nothing.
        targets = Ragged.from_lengths(np.array([1, 1]), np.array([0, 0]))
        few = self.found([[9, 8], [9, 8]], [[1.9, -1.0], [-5.0, -6.0]])
        assert bearable_shift(few, targets, SCALE, 3, cost=0.5) < -0.5  # below the third known item: none is wanted
        # One target in three is new, and so may be one place in three: above a lift of 1.75 item 8 would pass item 1.
        targets = Ragged.from_lengths(np.array([2, 1]), np.array([0, 9, 0]))
        one_each = self.found([[9, 8], [9, 8]], [[0.5, 0.25], [0.5, 0.25]])
        assert bearable_shift(one_each, targets, SCALE, 3, cost=0.5) == 1.75


def test_both_lists_leave_out_what_was_seen_and_count_what_is_added() -> None:
    items = np.array([[4.0], [3.0], [2.0], [1.0], [0.5]], np.float32)
    is_new = np.array([False, True, False, True, False])
    seen = Ragged.from_lengths(np.array([2]), np.array([0, 1]))
    added = sp.csr_array(np.array([[0.0, 0.0, 0.0, 0.0, 9.0]], np.float32))
    known, new, _ = ranked_apart(np.ones([1, 1], np.float32), items, is_new, 3, seen=seen, added=added)
    assert known.item_rows.tolist() == [[4, 2, -1]]
    assert known.scores[0, :2].tolist() == [9.5, 2.0]
    assert new.item_rows.tolist() == [[3, -1, -1]]


@pytest.fixture(scope="module")
def with_new_item(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """The small dataset without the last item in its vocabulary."""
    dataset = write_small_dataset(tmp_path_factory.mktemp("new"))
    Vocabulary(tuple(f"i{n}" for n in range(NUM_ITEMS - 1))).write(dataset.vocabulary("item_id"))
    return dataset


def validated(dataset: DatasetLayout, target: int, folder, cost: float = 0.01) -> TwoTowerModel:
    """A model after a validation by one user, who takes that item."""
    encoder = SchemaEncoder(SCHEMA, dataset)
    candidates = load_catalogue(dataset, encoder)
    config = RetrievalConfig(dimension=4, new_item_cost=cost)
    model = TwoTowerModel(config, encoder, candidates, seed=0)
    write_records(folder, [record(0, [0, 2, target], [1, 2, 3], num_context=2)])
    events = load_events(folder, encoder, candidates.rows(), records="retrieval")
    RetrievalValidation(events, encoder, candidates, EvaluationConfig(), num_queries=1, seed=0)(model.towers)
    return model


def test_the_validation_lifts_new_items_where_they_are_wanted(with_new_item, tmp_path) -> None:
    model = validated(with_new_item, NUM_ITEMS - 1, tmp_path / "x")
    tower = model.towers.pairs[0].candidate
    assert float(tower.lift) == pytest.approx(TEMPERATURE * max(SHIFTS))
    encoder = SchemaEncoder(SCHEMA, with_new_item)
    items = load_catalogue(with_new_item, encoder).gather(tf.range(NUM_ITEMS))
    # The last component is the bias; training knows nothing of the lift.
    served, trained = (tower(items, training=training).numpy()[:, -1] for training in (False, True))
    is_new = items["item_id"].numpy() < encoder.lookup("item_id").vocabulary.first_token_index
    np.testing.assert_allclose(served - trained, np.where(is_new, float(tower.lift), 0.0), atol=1e-6)
    assert is_new.sum() == 1


def test_nothing_is_lifted_where_no_new_item_is_wanted(with_new_item, tmp_path) -> None:
    assert float(validated(with_new_item, 4, tmp_path / "x").towers.pairs[0].candidate.lift) == 0.0


def test_it_needs_the_bias() -> None:
    config = RetrievalConfig(new_item_cost=0.01)
    with pytest.raises(ConfigError, match=r"retrieval\.new_item_cost"):
        replace(config, item_bias=False)
