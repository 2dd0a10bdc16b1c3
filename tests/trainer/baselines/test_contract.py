"""One contract for every baseline, on the checkerboard.

Each user's own item, the diagonal, is withheld: it is the one item of the user's colour that the user has not taken,
so a model that sees the pattern ranks it first once the taken items are left out.
"""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from features.errors import ConfigError
from tests.checkerboard import liked_by
from tests.ragged import ragged as ragged_rows
from trainer.baselines.contract import Baseline
from trainer.baselines.table import make_baseline
from trainer.config.baselines import BaselineName, BaselinesConfig
from trainer.metrics.protocol import EvaluationSet, Interactions
from trainer.metrics.top_k import rank_by_scorer

SIZE = 40
NAMES: tuple[BaselineName, ...] = get_args(BaselineName)
# These say nothing of an item that the user has not taken but how popular it is.
UNRELATED = {"popularity", "popularity_recent", "context_popularity", "repeat"}
RELATING = [name for name in NAMES if name not in UNRELATED]
SMALL: dict[str, dict[str, object]] = {
    "svd": {"factors": 2},
    "als": {"factors": 2},
    "bpr": {"factors": 8},
    "ease": {"l2": 10.0},
}
COLOURS = tuple(f"{'even' if item % 2 == 0 else 'odd'} tile" for item in range(SIZE))


def make_small(name: BaselineName, **parameters: object) -> Baseline:
    return make_baseline(name, item_texts=COLOURS, **{**SMALL.get(name, {}), **parameters})


def taken_by(user: int) -> list[int]:
    return [item for item in liked_by(user, SIZE) if item != user]


@pytest.fixture(scope="module")
def checkerboard() -> Interactions:
    users, items = np.transpose([(user, item) for user in range(SIZE) for item in taken_by(user)])
    return in_one_context(Interactions.from_events(users, items, items, num_users=SIZE, num_items=SIZE))


def in_one_context(interactions: Interactions) -> Interactions:
    return replace(interactions, context=np.zeros_like(interactions.item_rows))


def queries(user_rows: list[int], histories: list[list[int]], targets: list[list[int]]) -> EvaluationSet:
    history = ragged_rows(histories)
    return EvaluationSet(
        user_rows=np.array(user_rows),
        history=history,
        history_timestamps=np.zeros_like(history.values),
        seen=history,
        targets=ragged_rows(targets),
        num_items=SIZE,
        context=np.zeros(len(user_rows), np.int64),
    )


@pytest.fixture(scope="module")
def withheld() -> EvaluationSet:
    return queries(list(range(SIZE)), [taken_by(user) for user in range(SIZE)], [[user] for user in range(SIZE)])


@pytest.mark.parametrize("name", NAMES)
class TestEveryBaseline:
    def test_scores_every_item_of_every_query(
        self, name: BaselineName, checkerboard: Interactions, withheld: EvaluationSet
    ) -> None:
        scores = make_small(name).fit(checkerboard).score(withheld)
        assert scores.shape == (SIZE, SIZE)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_scores_a_query_alike_alone_and_among_others(
        self, name: BaselineName, checkerboard: Interactions, withheld: EvaluationSet
    ) -> None:
        scorer = make_small(name).fit(checkerboard)
        together = scorer.score(withheld)
        alone = np.concatenate([scorer.score(withheld.slice(row, row + 1)) for row in range(SIZE)])
        np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)

    def test_fits_the_same_twice(self, name: BaselineName, checkerboard: Interactions, withheld: EvaluationSet) -> None:
        first, second = (make_small(name).fit(checkerboard).score(withheld) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_orders_items_by_popularity_for_an_unknown_user_without_history(self, name: BaselineName) -> None:
        # Item i is taken by the users 0 … i, at the same time: popularity and recent popularity agree.
        users, items = np.nonzero(np.tril(np.ones((SIZE, SIZE))).T)
        staircase = Interactions.from_events(users, items, np.zeros_like(users), num_users=SIZE, num_items=SIZE)
        ranked = rank_by_scorer(make_small(name).fit(in_one_context(staircase)), queries([-1], [[]], [[0]]), 5)
        assert ranked.item_rows.tolist() == [[39, 38, 37, 36, 35]]

    def test_leaves_the_interactions_as_they_were(self, name: BaselineName, checkerboard: Interactions) -> None:
        before = checkerboard.matrix.toarray()
        make_small(name).fit(checkerboard)
        np.testing.assert_array_equal(checkerboard.matrix.toarray(), before)

    def test_grid_names_its_own_parameters_and_valid_values(self, name: BaselineName) -> None:
        for parameter, values in make_small(name).grid.items():
            for value in values:
                assert getattr(make_small(name, **{parameter: value}), parameter) == value


@pytest.mark.parametrize("name", RELATING)
def test_finds_the_withheld_item(name: BaselineName, checkerboard: Interactions, withheld: EvaluationSet) -> None:
    ranked = rank_by_scorer(make_small(name).fit(checkerboard), withheld, 1)
    np.testing.assert_array_equal(ranked.item_rows[:, 0], np.arange(SIZE))


@pytest.mark.parametrize("name", RELATING)
def test_follows_the_history_of_an_unknown_user(name: BaselineName, checkerboard: Interactions) -> None:
    ranked = rank_by_scorer(make_small(name).fit(checkerboard), queries([-1], [[2, 4, 8]], [[6]]), 10)
    assert all(item % 2 == 0 for item in ranked.item_rows[0])


def test_unknown_baseline_is_refused_with_the_known_names() -> None:
    with pytest.raises(ConfigError, match="expected one of popularity"):
        make_baseline("populairty")
    with pytest.raises(ConfigError, match=r"baselines\.names = 'knn'"):
        BaselinesConfig(names=("knn",))


def test_unknown_parameter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"item_cf\.neighbours = 5: expected .*num_neighbours"):
        make_baseline("item_cf", neighbours=5)
