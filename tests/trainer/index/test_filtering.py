"""Filters against a plain Python reading of what they mean, over every kind of index and every route of the rule."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from trainer.index import filtering
from trainer.index.attributes import ItemAttributes
from trainer.index.exact import ExactIndex
from trainer.index.filtered_retriever import ItemBonus, Retriever
from trainer.index.recall import search_signature

NUM_ITEMS = 500
ITEM_IDS = [f"{row}".encode() for row in range(NUM_ITEMS)]
GENRES = [b"drama", b"com\xc3\xa9die", b"horror", b"\xff", b"musical"]
RNG = np.random.default_rng(3)
ITEM_GENRES = [[GENRES[i] for i in RNG.permutation(5)[: RNG.integers(0, 4)]] for _ in range(NUM_ITEMS)]
ITEM_SHOP = [[f"shop {RNG.integers(200)}".encode()] for _ in range(NUM_ITEMS)]
ITEM_YEAR = np.where(RNG.random(NUM_ITEMS) < 0.1, np.nan, RNG.integers(1950, 2000, NUM_ITEMS)).astype(np.float32)
ATTRIBUTES = ItemAttributes(categorical={"genres": ITEM_GENRES, "shop": ITEM_SHOP}, numeric={"year": ITEM_YEAR})


def passes(row, wanted):
    """What one query's filters mean for one item."""
    allowed = [item for item in wanted["allow_item_ids"] if item]
    any_of = [value for value in wanted["genres_any_of"] if value]
    shops = [value for value in wanted["shop_any_of"] if value]
    low, high = wanted["year_min"], wanted["year_max"]
    return (
        (not allowed or ITEM_IDS[row] in allowed)
        and (not any_of or bool(set(any_of) & set(ITEM_GENRES[row])))
        and (not shops or bool(set(shops) & set(ITEM_SHOP[row])))
        and not set(wanted["genres_none_of"]) & set(ITEM_GENRES[row])
        and (np.isnan(low) or np.isneginf(low) or ITEM_YEAR[row] >= low)
        and (np.isnan(high) or np.isposinf(high) or ITEM_YEAR[row] <= high)
    )


def tensors(wanted):
    """Pads the filters of the queries of a batch to tensors."""
    return {
        name: tf.constant([each[name] for each in wanted], tf.float32)
        if name.startswith("year")
        else tf.ragged.constant([each[name] for each in wanted], ragged_rank=1, dtype=tf.string).to_tensor("")
        for name in wanted[0]
    }


GENRE_LISTS = st.lists(st.sampled_from([*GENRES, b"", b"unheard of"]), max_size=3)
BOUNDS = st.sampled_from([np.nan, -np.inf, np.inf, 1949.0, 1960.0, 1980.0, 1999.0])
WANTED = st.fixed_dictionaries(
    {
        "genres_any_of": GENRE_LISTS,
        "genres_none_of": GENRE_LISTS,
        "shop_any_of": st.lists(st.sampled_from([b"shop 1", b"shop 7", b"no shop"]), max_size=2),
        "year_min": BOUNDS,
        "year_max": BOUNDS,
        "allow_item_ids": st.lists(st.sampled_from([b"3", b"4", b"77", b"499", b"500", b""]), max_size=5),
    }
)


@pytest.fixture(scope="module", autouse=True)
def large_catalogue():
    """The catalogue of the tests is small enough for a scan; the routes of large ones are what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filtering, "SCAN_BELOW_ITEMS", 0)
        patch.setattr(filtering, "SCANNED_PER_FETCHED", 1)
        yield


@pytest.fixture(scope="module")
def index(case, index_of):
    return index_of(case)


@pytest.fixture(scope="module")
def retrieve(index):
    retriever = Retriever(index, ITEM_IDS, ATTRIBUTES, max_filtered_candidates=100)
    exclusions = tf.TensorSpec([None, None], tf.string)
    return tf.function(
        retriever.retrieve,
        input_signature=[*search_signature(index), exclusions, retriever.filter_specs()],
        autograph=False,
    )


def call(retrieve, queries, k, wanted, exclude=()):
    filters = {"shop_none_of": tf.zeros([1, 0], tf.string), **tensors(wanted)}
    return retrieve(queries, tf.constant(k), tf.constant([list(exclude)], tf.string, [1, len(exclude)]), filters)


class TestFilterContract:
    @pytest.mark.slow
    @settings(max_examples=15, deadline=None)
    @given(wanted=st.lists(WANTED, min_size=1, max_size=4), exclude=st.lists(st.sampled_from(ITEM_IDS), max_size=8))
    def test_answers_equal_exact_search_among_the_items_that_pass(self, index, retrieve, queries, wanted, exclude):
        k, queries = 12, queries[: len(wanted)]
        found = call(retrieve, queries, k, wanted, exclude)
        all_scores = queries @ index.vectors.gather(tf.range(NUM_ITEMS)).numpy().T
        for scores, ids, found_scores, each in zip(
            all_scores, found.item_ids.numpy(), found.scores.numpy(), wanted, strict=True
        ):
            admitted = [row for row in range(NUM_ITEMS) if passes(row, each) and ITEM_IDS[row] not in exclude]
            expected = -np.sort(-scores[admitted])[:k]
            np.testing.assert_allclose(found_scores[: len(expected)], expected, rtol=1e-3, atol=2e-3)
            assert set(ids[: len(expected)]) <= {ITEM_IDS[row] for row in admitted}
            assert len(set(ids[: len(expected)])) == len(expected)
            assert (ids[len(expected) :] == b"").all()
            assert np.isneginf(found_scores[len(expected) :]).all()


OPEN = {
    "genres_any_of": [],
    "genres_none_of": [],
    "shop_any_of": [],
    "year_min": np.nan,
    "year_max": np.nan,
    "allow_item_ids": [],
}


@pytest.mark.slow
def test_open_filters_equal_no_filters(index, retrieve, queries):
    found = call(retrieve, queries[:3], 10, [OPEN])
    np.testing.assert_array_equal(found.scores, index.search(queries[:3], tf.constant(10)).scores)


@settings(max_examples=15, deadline=None)
@given(wanted=WANTED, exclude=st.lists(st.sampled_from(ITEM_IDS), max_size=8), seed=st.integers(0, 99))
@pytest.mark.slow
def test_what_is_added_to_scores_decides_with_them(index, queries, wanted, exclude, seed):
    """Of items that pass and of others, some of them among the best already, some excluded."""
    retriever, k, generator = Retriever(index, ITEM_IDS, ATTRIBUTES), 12, np.random.default_rng(seed)
    rows = np.stack([generator.permutation(NUM_ITEMS)[:40] for _ in range(2)]).astype(np.int32)
    plus = generator.exponential(5.0, rows.shape).astype(np.float32)
    rows[1, 30:] = -1
    filters = {"shop_none_of": tf.zeros([1, 0], tf.string), **tensors([wanted])}
    excluded = tf.constant([exclude], tf.string, [1, len(exclude)])
    found = retriever.retrieve(queries[:2], tf.constant(k), excluded, filters, ItemBonus(rows, plus))
    scores = queries[:2] @ index.vectors.gather(tf.range(NUM_ITEMS)).numpy().T
    for number in range(2):
        scores[number, rows[number][rows[number] >= 0]] += plus[number][rows[number] >= 0]
        admitted = [row for row in range(NUM_ITEMS) if passes(row, wanted) and ITEM_IDS[row] not in exclude]
        best = np.array(admitted, int)[np.argsort(-scores[number, admitted])][:k]
        np.testing.assert_allclose(found.scores[number, : len(best)], scores[number, best], rtol=1e-3, atol=2e-3)
        ids = [item_id for item_id in found.item_ids[number].numpy().tolist() if item_id]
        assert len(set(ids)) == len(ids) == len(best)
        assert set(ids) <= {ITEM_IDS[row] for row in admitted}


def test_an_empty_batch_under_filters(retrieve, queries):
    assert call(retrieve, queries[:0], 10, [{**OPEN, "year_min": 1960.0}]).item_ids.shape == (0, 10)


def test_a_broad_filter_against_the_query_still_gives_k_items(index, embeddings, queries):
    """Half of all items pass, but none of the best 100: what was fetched falls short, and the scan answers."""
    order = np.argsort(-(embeddings @ queries[0]))
    attributes = ItemAttributes(numeric={"rank": np.argsort(order).astype(np.float32)})
    retriever = Retriever(index, ITEM_IDS, attributes, max_filtered_candidates=100)
    found = retriever.retrieve(queries[:1], tf.constant(10), filters={"rank_min": tf.constant([250.0])})
    stored = index.vectors.gather(order[250:]).numpy()
    np.testing.assert_allclose(found.scores[0], -np.sort(-(stored @ queries[0]))[:10], rtol=1e-3, atol=1e-3)


class Recording(ExactIndex):
    """Notes for how many queries it was searched (and for how many items) and scanned."""

    def __init__(self, embeddings):
        super().__init__(embeddings)
        self.is_exact = False
        self.searched, self.scanned = [], []

    def search(self, query_embeddings, k):
        self.searched.append((len(query_embeddings), int(k)))
        return super().scan(query_embeddings, k)

    def scan(self, query_embeddings, k, admit=None):
        self.scanned.append(len(query_embeddings))
        return super().scan(query_embeddings, k, admit)


@pytest.mark.parametrize(
    ("filters", "searched", "scanned"),
    [
        # k (2 - s) / s candidates at s = 1/2, then at s = 1/5, then at s = 1/50, which are more than 100.
        ({"row_max": [249.0]}, (1, 30), 0),
        ({"row_max": [99.0]}, (1, 90), 0),
        ({"row_max": [9.0]}, (0, 0), 1),
        ({"allow_item_ids": [[b"1", b"2"]]}, (0, 0), 0),
        # A batch is split by what each of its queries needs.
        ({"row_max": [249.0, 9.0, 99.0, -1.0]}, (2, 90), 2),
    ],
)
def test_the_rule_picks_the_route_of_each_query(embeddings, queries, filters, searched, scanned):
    index = Recording(embeddings)
    attributes = ItemAttributes(numeric={"row": np.arange(NUM_ITEMS, dtype=np.float32)})
    retriever = Retriever(index, ITEM_IDS, attributes, max_filtered_candidates=100)
    given = {name: tf.constant(value) for name, value in filters.items()}
    retriever.retrieve(queries[: len(filters.get("row_max", [0]))], tf.constant(10), filters=given)
    assert index.searched == [searched]
    assert index.scanned == [scanned]


def test_filters_may_be_left_out_and_one_row_stands_for_the_batch(embeddings, queries):
    retriever = Retriever(ExactIndex(embeddings), ITEM_IDS, ATTRIBUTES)
    found = retriever.retrieve(queries, tf.constant(5), filters={"genres_any_of": tf.constant([[b"horror"]])})
    assert all(b"horror" in ITEM_GENRES[int(item)] for item in found.item_ids.numpy().ravel())


def test_an_allow_list_needs_no_attributes(embeddings, queries):
    retriever = Retriever(ExactIndex(embeddings), ITEM_IDS)
    allowed = tf.constant([[b"7", b"8", b"7"]])
    found = retriever.retrieve(queries[:2], tf.constant(3), filters={"allow_item_ids": allowed})
    assert [set(row) for row in found.item_ids.numpy().tolist()] == [{b"7", b"8", b""}] * 2


def test_an_unknown_filter_is_named_with_those_there_are(embeddings, queries):
    retriever = Retriever(ExactIndex(embeddings), ITEM_IDS, ATTRIBUTES)
    with pytest.raises(InputError, match=r"'colour_any_of'.*'genres_any_of'"):
        retriever.retrieve(queries, tf.constant(3), filters={"colour_any_of": tf.constant([[b"red"]])})


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        (ItemAttributes(numeric={"year": ITEM_YEAR[:10]}), "'year' has 10 entries: expected one for each of 500"),
        (ItemAttributes(categorical={"a": ITEM_SHOP}, numeric={"a": ITEM_YEAR}), "both categorical and numeric"),
    ],
)
def test_attributes_that_do_not_fit_are_refused(embeddings, attributes, problem):
    with pytest.raises(InputError, match=problem):
        Retriever(ExactIndex(embeddings), ITEM_IDS, attributes)


def test_the_number_of_ids_must_be_the_number_of_items(embeddings):
    with pytest.raises(InputError, match="499 item ids for an index of 500 items"):
        Retriever(ExactIndex(embeddings), ITEM_IDS[:-1])
