"""Whatever a raw record holds, the SavedModel embeds it as the trainer does."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recstack.config import StackConfig
from recstack.display import DisplayData, read_display_data
from tests.checkerboard import NUM_ITEMS, NUM_USERS, item, title
from trainer.restore import Trained

Embed = Callable[[Mapping[str, tf.Tensor]], tf.Tensor]

# Text of any script, and bytes that are no text at all.
STRANGE = st.one_of(st.text(max_size=12).map(str.encode), st.binary(max_size=8))
USERS = st.one_of(st.integers(0, NUM_USERS - 1).map(lambda n: f"u{n}".encode()), st.just(b""), STRANGE)
ITEMS = st.one_of(st.integers(0, NUM_ITEMS - 1).map(lambda n: item(n).encode()), st.just(b""), STRANGE)
TITLES = st.one_of(st.integers(0, 99).map(lambda n: title(n).encode()), st.just(b""), STRANGE)
SECONDS = st.one_of(st.just(0), st.integers(0, 2_000_000_000), st.integers(-(2**63), 2**63 - 1))
NUMBERS = st.floats(width=32, allow_subnormal=False)
QUERIES = st.lists(st.tuples(USERS, st.lists(ITEMS, max_size=30), SECONDS), max_size=6)
CANDIDATES = st.lists(st.tuples(ITEMS, TITLES, NUMBERS, st.lists(STRANGE, max_size=12)), max_size=6)
SIZES = st.sampled_from([0, 1, 1000])

unhurried = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def catalogue(checkerboard: StackConfig) -> DisplayData:
    return read_display_data(checkerboard.features, checkerboard.layout.dataset)


@pytest.fixture(scope="module")
def embed_query(trained: Trained) -> Embed:
    """The trainer's own way from raw features to a vector."""
    return traced(
        lambda raw: trained.model.query_tower(trained.encoder.encode_query(raw)), trained.encoder.query_signature()
    )


@pytest.fixture(scope="module")
def embed_item(trained: Trained) -> Embed:
    signature = trained.encoder.candidate_signature()
    return traced(lambda raw: trained.model.candidate_tower(trained.encoder.encode_candidate(raw)), signature)


def traced(function: Embed, signature: Mapping[str, tf.TensorSpec]) -> Embed:
    return tf.function(function, input_signature=[dict(signature)], autograph=False)


def strings(values: Sequence[bytes]) -> tf.Tensor:
    return tf.constant(list(values), tf.string, shape=[len(values)])


def padded(rows: Sequence[Sequence[bytes]]) -> tf.Tensor:
    """`[batch, longest]`, and at least one column."""
    width = max([1, *map(len, rows)])
    flat = list(itertools.chain.from_iterable([*row, *[b""] * (width - len(row))] for row in rows))
    return tf.constant(flat, tf.string, shape=[len(rows), width])


def repeated(rows: list[Any], size: int) -> list[Any]:
    """As many rows as the batch shall have, the drawn ones over and over."""
    return list(itertools.islice(itertools.cycle(rows), size)) if rows else []


@unhurried
@given(rows=QUERIES, size=SIZES)
def test_queries(rows: list[Any], size: int, exact: Any, embed_query: Embed, catalogue: DisplayData) -> None:
    rows = repeated(rows, size)
    users, seconds = strings([row[0] for row in rows]), tf.constant([row[2] for row in rows], tf.int64)
    sent = [row[1] for row in rows]
    # A known user's history is the model's own where a request sends none.
    known = {user.encode(): [each.encode() for each in items] for user, items in catalogue.histories.items()}
    meant = [history if any(history) else known.get(user, []) for user, history, _ in rows]
    found = exact.signatures["embed_query"](user_id=users, history=padded(sent), timestamp=seconds)["embedding"]
    expected = embed_query({"user_id": users, "history": padded(meant), "timestamp": seconds})
    assert found.shape[0] == len(rows)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@unhurried
@given(rows=CANDIDATES, size=SIZES)
def test_items(rows: list[Any], size: int, exact: Any, embed_item: Embed) -> None:
    rows = repeated(rows, size)
    raw = {
        "item_id": strings([row[0] for row in rows]),
        "title": strings([row[1] for row in rows]),
        "number": tf.constant([row[2] for row in rows], tf.float32),
        "remainders": padded([row[3] for row in rows]),
    }
    found = exact.signatures["embed_item"](**raw)["embedding"]
    assert found.shape[0] == len(rows)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, embed_item(raw), rtol=1e-5, atol=1e-6)
