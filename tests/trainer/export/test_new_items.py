"""Places of the recommender's lists for new items: found by retrieval's score, under the same restrictions."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.export.explanations import Answer, explain_answer
from trainer.export.new_items import Asked, KeptCandidates, NewItems
from trainer.export.orders import Found, RetrievalOrder
from trainer.index.attributes import ItemAttributes
from trainer.index.base import TopK
from trainer.index.exact import ExactIndex
from trainer.index.filtered_retriever import Retriever
from trainer.index.item_ids import ItemIds

NUM_ITEMS, NEW, TEMPERATURE = 40, np.arange(30, 40), 0.25
RNG = np.random.default_rng(0)
ITEMS = RNG.normal(size=(NUM_ITEMS, 6)).astype(np.float32)
QUERIES = RNG.normal(size=(3, 6)).astype(np.float32)
COLOURS = [[b"red" if row % 2 else b"blue"] for row in range(NUM_ITEMS)]
SCORES = QUERIES @ ITEMS.T


class Service(tf.Module):
    """What the recommender does with its lists: the best five old items by retrieval, and places for new ones."""

    def __init__(self, kept: KeptCandidates | None = None, length: int = 5) -> None:
        super().__init__()
        self.length = length
        ids = [f"i{row}".encode() for row in range(NUM_ITEMS)]
        self.item_ids = ItemIds(ids)
        retriever = Retriever(ExactIndex(ITEMS), ids, ItemAttributes(categorical={"colour": COLOURS}))
        self.new_items = NewItems(retriever, np.arange(NUM_ITEMS) >= NEW[0], TEMPERATURE, kept)

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, 6]),
            tf.TensorSpec([None]),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, None], tf.string),
        ],
    )
    def answer(self, queries: tf.Tensor, share: tf.Tensor, excluded: tf.Tensor, colours: tf.Tensor) -> dict:
        scores, rows = tf.math.top_k(tf.matmul(queries, ITEMS[: NEW[0]], transpose_b=True), 5)
        batch = tf.shape(queries)[0]
        asked = Asked(
            queries=queries,
            excluded=excluded,
            filters={"colour_any_of": colours},
            users=tf.strings.as_string(tf.range(batch)),
            history=tf.zeros([batch, 0], tf.int32),
        )
        found = self.new_items.with_candidates(TopK(scores=scores, rows=rows), asked)
        log_chances = tf.nn.log_softmax(found.scores / TEMPERATURE, axis=1)
        best = TopK(scores=tf.exp(log_chances[:, : self.length]), rows=found.rows[:, : self.length])
        chosen, is_explored = self.new_items.reserve(best, found, TopK(log_chances, found.rows), share, asked)
        named = {"rows": chosen.rows, "scores": chosen.scores, "is_explored": is_explored}
        named["explained"] = self._explained(found, log_chances, chosen, is_explored)
        return {**named, "candidates": found.rows, "candidate_scores": found.scores}

    def _explained(self, found: TopK, log_chances: tf.Tensor, chosen: TopK, is_explored: tf.Tensor) -> tf.Tensor:
        """`[batch, L]`: sums of baseline and contributions, where what ranks is retrieval's order."""
        answer = Answer(
            found=Found(query={}, history=tf.zeros_like(found.rows), rows=found.rows, scores=found.scores),
            adjustments=tf.zeros_like(log_chances),
            chosen=chosen,
            is_explored=is_explored,
            is_unranked=is_explored & ~self.new_items.are_ranked(chosen.rows, found),
        )
        told = explain_answer(RetrievalOrder(TEMPERATURE), answer, self.item_ids)
        return told["baseline"][:, None] + tf.reduce_sum(told["feature_contributions"], axis=2)


def answers(share: float, excluded: list[int] | None = None, colour: str = "", *, service: Service | None = None):
    return (service or SERVICE).answer(
        tf.constant(QUERIES),
        tf.fill([3], tf.constant(share, tf.float32)),
        tf.constant([excluded or [-1]]),
        tf.constant([[colour]]),
    )


SERVICE = Service()
OLD_LISTS = np.argsort(-SCORES[:, : NEW[0]], axis=1)[:, :5]
NEW_LISTS = NEW[0] + np.argsort(-SCORES[:, NEW[0] :], axis=1)


@pytest.mark.parametrize(("share", "places"), [(0.0, 0), (0.2, 1), (0.4, 2), (1.0, 5)])
def test_the_best_new_items_by_retrieval_take_their_share(share: float, places: int) -> None:
    found = answers(share)
    np.testing.assert_array_equal(found["rows"], np.hstack([OLD_LISTS[:, : 5 - places], NEW_LISTS[:, :places]]))
    np.testing.assert_array_equal(found["is_explored"], [[False] * (5 - places) + [True] * places] * 3)


def test_the_chance_of_a_new_item_is_its_share_in_the_softmax_over_what_was_found() -> None:
    found = answers(0.4)
    chances = np.exp(SCORES / TEMPERATURE)
    total = np.take_along_axis(chances, OLD_LISTS, axis=1).sum(axis=1, keepdims=True)
    expected = np.take_along_axis(chances, found["rows"].numpy(), axis=1) / total
    np.testing.assert_allclose(found["scores"], expected, rtol=1e-5)


def test_exclusions_and_filters_hold_for_new_items_too() -> None:
    first = NEW_LISTS[:, 0].tolist()
    without = answers(0.2, excluded=first)["rows"].numpy()[:, -1]
    np.testing.assert_array_equal(
        without, [next(row for row in of_query if row not in first) for of_query in NEW_LISTS]
    )
    red = answers(0.2, colour="red")["rows"].numpy()[:, -1]
    np.testing.assert_array_equal(red, [next(row for row in of_query if row % 2) for of_query in NEW_LISTS])
    # Without an admissible new item the list stays as it is.
    np.testing.assert_array_equal(answers(0.4, excluded=NEW.tolist())["rows"], OLD_LISTS)


def test_saved_and_loaded_it_answers_the_same(tmp_path: Path) -> None:
    tf.saved_model.save(SERVICE, str(tmp_path / "model"))
    loaded = answers(0.4, service=tf.saved_model.load(str(tmp_path / "model")))
    for name, values in answers(0.4).items():
        np.testing.assert_array_equal(loaded[name], values)


LOG_EVENTS = np.where(np.arange(NUM_ITEMS) % 3 == 0, 4.0, 0.0).astype(np.float32)


def test_candidates_are_kept_for_the_new_items_with_the_best_logits_and_counts() -> None:
    kept = Service(KeptCandidates(number=2, log_events=LOG_EVENTS))
    found = answers(0.0, service=kept)
    logits = SCORES / TEMPERATURE + LOG_EVENTS
    expected = NEW[0] + np.argsort(-logits[:, NEW[0] :], axis=1)[:, :2]
    np.testing.assert_array_equal(found["candidates"], np.hstack([OLD_LISTS[:, :3], expected]))
    scores = np.take_along_axis(SCORES, found["candidates"].numpy(), axis=1)
    np.testing.assert_allclose(found["candidate_scores"], scores, rtol=1e-4, atol=1e-5)
    first = int(expected[0, 0])
    assert first not in answers(0.0, excluded=[first], service=kept)["candidates"].numpy()[0]


def test_the_new_candidates_are_explored_before_those_that_retrieval_chooses() -> None:
    """Lists of three without a new item, behind which two candidates are kept for such: all three places are theirs."""
    found = answers(1.0, service=Service(KeptCandidates(number=2, log_events=LOG_EVENTS), length=3))
    for query, (rows, candidates) in enumerate(zip(found["rows"].numpy(), found["candidates"].numpy(), strict=True)):
        kept = sorted(candidates[3:], key=lambda row: -SCORES[query, row])
        assert rows.tolist() == [*kept, next(row for row in NEW_LISTS[query] if row not in kept)]
    assert found["is_explored"].numpy().all()
    # The scores of the two that were ranked are explained; that of the third is retrieval's.
    np.testing.assert_allclose(found["explained"][:, :2], np.log(found["scores"][:, :2]), rtol=1e-4, atol=1e-4)
    assert np.abs(found["explained"][:, 2] - np.log(found["scores"][:, 2])).min() > 1e-3


def test_without_kept_candidates_what_was_found_is_ranked() -> None:
    np.testing.assert_array_equal(answers(0.0)["candidates"], OLD_LISTS)
