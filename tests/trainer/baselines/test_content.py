import numpy as np
import pytest

from features.errors import InputError
from tests.ragged import ragged as ragged_rows
from trainer.baselines.content import Content
from trainer.metrics.protocol import EvaluationSet, Interactions
from trainer.metrics.top_k import rank_by_scorer

TEXTS = ("red wool hat", "red wool scarf", "blue cotton shirt", "blue cotton hat", "5 Z", "")
EVENTS = Interactions.from_events(np.array([0]), np.array([0]), np.array([0]), num_users=1, num_items=6)


def query(history: list[int]) -> EvaluationSet:
    known = ragged_rows([history])
    return EvaluationSet(
        user_rows=np.array([-1]),
        history=known,
        history_timestamps=np.zeros(len(history), np.int64),
        seen=known,
        targets=ragged_rows([[0]]),
        num_items=6,
    )


def test_items_that_train_never_saw_are_found_by_their_texts() -> None:
    ranked = rank_by_scorer(Content(item_texts=TEXTS).fit(EVENTS), query([1]), 1)
    assert ranked.item_rows.tolist() == [[0]]
    ranked = rank_by_scorer(Content(item_texts=TEXTS).fit(EVENTS), query([2]), 1)
    assert ranked.item_rows.tolist() == [[3]]


def test_scores_are_cosines_with_the_profile() -> None:
    scores = Content(item_texts=TEXTS).fit(EVENTS).score(query([4]))[0]
    assert scores[4] == pytest.approx(1.0)  # one-character values count
    assert (scores[[0, 1, 2, 3, 5]] < 0).all()


def test_newer_items_shape_the_profile_more() -> None:
    scores = Content(item_texts=TEXTS, decay=0.5).fit(EVENTS).score(query([1, 2]))[0]
    assert scores[3] > scores[0]


def test_texts_are_required_and_must_fit_the_catalogue() -> None:
    with pytest.raises(InputError, match="no item has any"):
        Content(item_texts=("", " - "))
    with pytest.raises(ValueError, match="expected 6 item texts, got 1"):
        Content(item_texts=("hat",)).fit(EVENTS)
