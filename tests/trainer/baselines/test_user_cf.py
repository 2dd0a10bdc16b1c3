import numpy as np

from tests.ragged import ragged as ragged_rows
from trainer.baselines.user_cf import UserCF
from trainer.metrics.protocol import EvaluationSet, Interactions

# User 0 took 0, 1, 2; user 1 took 0, 1, 3; user 2 took 3, 4.
EVENTS = Interactions.from_events(
    np.array([0, 0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 2, 0, 1, 3, 3, 4]), np.arange(8), num_users=3, num_items=6
)


def query(user_row: int, history: list[int]) -> EvaluationSet:
    known = ragged_rows([history])
    return EvaluationSet(
        user_rows=np.array([user_row]),
        history=known,
        history_timestamps=np.zeros(len(history), np.int64),
        seen=known,
        targets=ragged_rows([[0]]),
        num_items=6,
    )


def test_scores_are_the_summed_cosines_of_the_users_who_took_an_item() -> None:
    scores = UserCF().fit(EVENTS).score(query(-1, [0, 3]))[0]
    to_first, to_second, to_third = 1 / np.sqrt(2 * 3), 2 / np.sqrt(2 * 3), 1 / np.sqrt(2 * 2)
    expected = [to_first + to_second, to_first + to_second, to_first, to_second + to_third, to_third]
    np.testing.assert_allclose(scores[:5], expected, rtol=1e-6)
    assert scores[5] < 0  # nobody took it


def test_only_the_nearest_users_are_asked() -> None:
    scores = UserCF(num_neighbours=1).fit(EVENTS).score(query(-1, [0, 3]))[0]
    assert np.flatnonzero(scores > 0).tolist() == [0, 1, 3]


def test_a_user_is_not_its_own_neighbour() -> None:
    scores = UserCF().fit(EVENTS).score(query(2, [3, 4]))[0]
    assert np.flatnonzero(scores > 0).tolist() == [0, 1, 3]
