import dataclasses
import json

import numpy as np
import pytest

from features.errors import InputError
from trainer.config.index import INDEXES, AutoConfig, ExactConfig, ScannTreeConfig
from trainer.index.build import build_index
from trainer.index.exact import ExactIndex
from trainer.index.recall import measure_recall

NUM_ITEMS, DIM = 4000, 24


@pytest.fixture(scope="module")
def catalogue():
    """4,000 items of rank 8 plus noise, and 300 queries of the same kind."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(NUM_ITEMS + 300, 8)) @ rng.normal(size=(8, DIM))
    values = (values + 0.3 * rng.normal(size=values.shape)).astype(np.float32)
    return values[:NUM_ITEMS], values[NUM_ITEMS:]


@pytest.fixture(scope="module", params=["scann_tree", "scann_hash"])
def built(request, catalogue):
    items, queries = catalogue
    config = INDEXES.options(request.param)(target_recall=0.98)
    return build_index(items, config, held_out_queries=queries[:200], seed=0)


@pytest.mark.slow
def test_a_small_catalogue_reaches_the_target_on_queries_not_tuned_on(catalogue, built):
    items, queries = catalogue
    assert measure_recall(built.index, ExactIndex(items), queries[200:], 100) >= 0.95
    assert not built.report.is_exact
    assert built.report.recall >= 0.96
    assert built.report.num_queries == 100


@pytest.mark.slow
def test_the_curve_holds_the_chosen_point(built):
    report = built.report
    assert report.parameters.num_leaves == (round(NUM_ITEMS**0.5) if report.kind == "scann_tree" else 0)
    chosen = [
        point
        for point in report.curve
        if (point.leaves_to_search, point.num_rescored)
        == (report.parameters.leaves_to_search, report.parameters.num_rescored)
    ]
    assert len(chosen) == 1
    assert chosen[0].recall >= report.target_recall
    assert [point.latency_ms for point in report.curve] == sorted(point.latency_ms for point in report.curve)


@pytest.mark.parametrize("kind", ["exact", "scann_brute_force"])
def test_an_exact_kind_says_so(catalogue, kind):
    items, queries = catalogue
    report = build_index(items, INDEXES.options(kind)(), held_out_queries=queries, seed=0).report
    assert report.is_exact
    assert report.recall == 1.0


def test_reduced_precision_is_measured_and_not_called_exact(catalogue):
    items, queries = catalogue
    config = ExactConfig(precision="bfloat16")
    report = build_index(items, config, held_out_queries=queries, seed=0).report
    assert not report.is_exact
    assert 0.9 < report.recall < 1.0
    assert report.num_queries == 150


def test_auto_without_queries_answers_a_small_catalogue_exactly(catalogue):
    built = build_index(catalogue[0], AutoConfig(), seed=0)
    assert built.report.kind == "exact"


def test_the_report_goes_into_json(catalogue):
    report = build_index(catalogue[0][:200], ScannTreeConfig(), seed=0).report
    assert json.loads(json.dumps(dataclasses.asdict(report)))["parameters"]["num_leaves"] == 14


@pytest.mark.slow
@pytest.mark.parametrize("num_items", [16, 20, 101])
def test_fewer_items_than_the_tuned_k_still_build_a_tree(catalogue, num_items):
    built = build_index(catalogue[0][:num_items], ScannTreeConfig(), seed=0)
    assert built.report.recall >= 0.95


@pytest.mark.parametrize("kind", ["exact", "scann_brute_force", "scann_hash"])
def test_a_catalogue_of_one_item(catalogue, kind):
    built = build_index(catalogue[0][:1], INDEXES.options(kind)(), seed=0)
    assert built.report.recall == 1.0


@pytest.mark.parametrize(
    ("embeddings", "problem"),
    [
        (np.zeros([0, 4], np.float32), r"shape \[0, 4\]"),
        (np.zeros([4], np.float32), r"shape \[4\]"),
        (np.array([[0.0], [np.nan]], np.float32), "row 1"),
    ],
)
def test_embeddings_that_cannot_be_indexed_are_refused(embeddings, problem):
    with pytest.raises(InputError, match=problem):
        build_index(embeddings, AutoConfig(), seed=0)


def test_too_few_items_for_a_tree_are_refused_with_the_remedy(catalogue):
    with pytest.raises(InputError, match="at least 16; use kind"):
        build_index(catalogue[0][:15], ScannTreeConfig(), seed=0)


def test_queries_of_another_dimension_are_refused(catalogue):
    with pytest.raises(InputError, match="held-out queries have 5 components"):
        build_index(catalogue[0], AutoConfig(), held_out_queries=np.ones([3, 5], np.float32), seed=0)
