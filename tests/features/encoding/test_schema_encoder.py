"""The encoders against plain Python: `datetime`, dictionaries and arithmetic give the right answers."""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.disk.layout import DatasetLayout
from features.encoding.history import last_companions
from features.encoding.numeric import bucketize, standardise
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.signature import raw_missing
from features.encoding.statistics import NumericStatistics, Statistics
from features.encoding.string_lists import last_values
from features.encoding.text import tokenize
from features.encoding.vector import encode_vectors
from features.errors import InputError
from features.schema import Schema
from features.spec.vector import VectorFeature
from tests.conftest import write_learnt

FIRST_TOKEN = 2  # one out-of-vocabulary bucket


@pytest.fixture(scope="module")
def encoder(schema: Schema, learnt: DatasetLayout) -> SchemaEncoder:
    return SchemaEncoder(schema, learnt)


def test_ids_have_a_row_each_unknown_ones_a_bucket_and_missing_ones_row_zero(encoder: SchemaEncoder) -> None:
    users = encoder.lookup("user_id")(tf.constant(["u0", "u2", "", "stranger"])).numpy()
    assert users[:3].tolist() == [3, 5, 0]  # two buckets before the first token
    assert users[3] in (1, 2)


def test_unknown_ids_spread_over_the_buckets(encoder: SchemaEncoder) -> None:
    strangers = tf.constant([f"stranger {n}" for n in range(50)])
    assert set(encoder.lookup("user_id")(strangers).numpy()) == {1, 2}


def test_history_keeps_the_last_items_in_order_and_drops_gaps(encoder: SchemaEncoder, schema: Schema) -> None:
    raw = tf.constant([["i0", "", "i1", "i2", "i3", "i4"], ["", "", "", "", "", ""], ["", "i4", "nope", "", "", ""]])
    encoded = encoder.encode(schema.history, raw).numpy()
    assert encoded.tolist() == [[3, 4, 5, 6], [0, 0, 0, 0], [6, 1, 0, 0]]


def test_history_of_no_columns_is_empty(encoder: SchemaEncoder, schema: Schema) -> None:
    assert encoder.encode(schema.history, tf.zeros([2, 0], tf.string)).numpy().tolist() == [[0] * 4] * 2


def test_ragged_and_padded_histories_encode_alike() -> None:
    rows = [["a", "b", "c"], [], ["d"]]
    ragged = tf.ragged.constant(rows, dtype=tf.string)
    assert last_values(ragged, 2).numpy().tolist() == last_values(ragged.to_tensor(), 2).numpy().tolist()


def test_multi_valued_keeps_the_first_values(encoder: SchemaEncoder, schema: Schema) -> None:
    genres = next(f for f in schema.candidate if f.name == "genres")
    raw = tf.constant([["war", "", "drama", "opera", "war"]])
    assert encoder.encode(genres, raw).numpy().tolist() == [[FIRST_TOKEN + 1, FIRST_TOKEN, 1]]


# TensorFlow's kernels take subnormal numbers for zero, so none is drawn; `std` has its own example below.
normal_floats = st.floats(width=32, allow_subnormal=False)


@given(normal_floats, st.floats(-1e6, 1e6, allow_subnormal=False), st.floats(0, 1e6, allow_subnormal=False))
@example(value=0.0, mean=0.0, std=2.2e-311)
@settings(deadline=None)
def test_standardise_is_finite_for_every_float(value: float, mean: float, std: float) -> None:
    statistics = NumericStatistics(count=1, missing=0, mean=mean, std=std, minimum=0, maximum=0)
    deviation, missing = standardise(tf.constant([value], tf.float32), statistics).numpy()[0]
    assert missing == float(math.isnan(value))
    expected = (
        0.0
        if math.isnan(value)
        else float(np.clip((value - mean) / (std if std >= sys.float_info.min else 1.0), -8, 8))
    )
    assert deviation == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(normal_floats)
@settings(deadline=None)
def test_bucket_is_one_plus_the_boundaries_not_above_the_value(value: float) -> None:
    boundaries = (-1.0, 0.0, 2.5)
    expected = 0 if math.isnan(value) else 1 + sum(boundary <= value for boundary in boundaries)
    assert bucketize(tf.constant([value], tf.float32), boundaries).numpy().tolist() == [expected]


def test_tokens_are_lower_case_words_of_any_script() -> None:
    words = tokenize(tf.constant(["Héllo, WÖRLD (1995) 東京!", "", " -- "])).to_list()
    assert [[w.decode() for w in row if w] for row in words] == [["héllo", "wörld", "1995", "東京"], [], []]


def test_text_that_is_not_utf8_is_not_an_error(encoder: SchemaEncoder, schema: Schema) -> None:
    title = next(f for f in schema.candidate if f.name == "title")
    encoded = encoder.encode(title, tf.constant([b"caf\xe9 noir", b"\xff\xfe", b""])).numpy()
    assert encoded.shape == (3, 4)
    assert (encoded[2] == 0).all()


COVER = VectorFeature(name="cover", length=3)


@given(st.lists(normal_floats, min_size=3, max_size=3))
@example([3e38, -3e38, 3e38])
@example([1e-30, 0.0, 0.0])
@example([0.0, 0.0, 0.0])
@settings(deadline=None)
def test_a_vector_has_length_one_or_is_missing(values: list[float]) -> None:
    *vector, missing = encode_vectors(tf.constant([values], tf.float32), COVER).numpy()[0]
    exact = np.array(values)
    is_whole = bool(np.isfinite(exact).all())
    assert missing == float(not is_whole)
    length = np.linalg.norm(exact) if is_whole else 0.0
    np.testing.assert_allclose(vector, exact / length if length > 0 else np.zeros(3), rtol=1e-5, atol=1e-6)


def test_a_vector_that_is_not_normalised_stays_as_it_is() -> None:
    as_it_is = dataclasses.replace(COVER, normalise=False)
    rows = tf.constant([[3.0, 0.0, 4.0], [math.nan, 1.0, 1.0]])
    assert encode_vectors(rows, as_it_is).numpy().tolist() == [[3, 0, 4, 0], [0, 0, 0, 1]]


def test_a_missing_vector_is_an_empty_list_in_records_and_nan_in_requests() -> None:
    of_records = tf.RaggedTensor.from_row_splits(tf.constant([0.0, 2.0, 0.0]), [0, 3, 3])
    of_requests = tf.constant([[0.0, 2.0, 0.0], [math.nan] * 3])
    expected = [[0, 1, 0, 0], [0, 0, 0, 1]]
    assert encode_vectors(of_records, COVER).numpy().tolist() == expected
    assert encode_vectors(of_requests, COVER).numpy().tolist() == expected
    assert np.isnan(raw_missing(COVER)).all()
    assert raw_missing(COVER).shape == (1, 3)


def test_encoded_says_what_encode_returns(encoder: SchemaEncoder, schema: Schema) -> None:
    raw = {
        "user_id": ["u0", "x"], "history": [["i0"], [""]], "timestamp": [1, 2**40], "device": ["tv", ""],
        "taste": [[0.0, 2.0], [math.nan, 1.0]], "cover": [[3.0, 0.0, 4.0], [math.inf, 0.0, 0.0]],
        "item_id": ["i0", "x"], "brand": ["acme", ""], "genres": [["war"], ["x"]], "title": ["a b", ""],
        "price": [1.0, math.nan], "year": [2000.0, math.inf],
    }  # fmt: skip
    for feature in (*schema.query, *schema.candidate):
        spec = encoder.encoded(feature)
        signature = (encoder.query_signature() | encoder.candidate_signature())[feature.name]
        value = encoder.encode(feature, tf.constant(raw[feature.name], signature.dtype)).numpy()
        assert value.shape == ((2,) if spec.form == "single" else (2, spec.width)), feature
        assert value.dtype == (np.float32 if spec.form == "dense" else np.int32), feature
        if spec.num_indices:
            assert value.min() >= 0, feature
            assert value.max() < spec.num_indices, feature


def test_history_shares_the_item_table(encoder: SchemaEncoder, schema: Schema) -> None:
    history, item = encoder.encoded(schema.history), encoder.encoded(schema.item_id_feature)
    assert (history.table, history.num_indices) == (item.table, item.num_indices)


text = st.text(max_size=12).map(lambda s: s.encode("utf-8", "ignore"))


class _Exported(tf.Module):
    def __init__(self, encoder: SchemaEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    @tf.function
    def query(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.encoder.encode_query(raw)

    @tf.function
    def candidate(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.encoder.encode_candidate(raw)


@pytest.fixture(scope="module")
def reloaded(encoder: SchemaEncoder, tmp_path_factory: pytest.TempPathFactory) -> object:
    """The encoders saved and loaded, with the vocabularies they were made from no longer there."""
    path = tmp_path_factory.mktemp("export")
    module = _Exported(encoder)
    signatures = {
        "query": module.query.get_concrete_function(**encoder.query_signature()),
        "candidate": module.candidate.get_concrete_function(**encoder.candidate_signature()),
    }
    tf.saved_model.save(module, str(path / "a"), signatures=signatures)
    (path / "a").rename(path / "b")
    return tf.saved_model.load(str(path / "b"))


ids = st.one_of(st.sampled_from([b"", b"u0", b"i0", b"i4", b"acme", "büro".encode(), b"war"]), text)
floats = st.floats(width=32)


@given(
    rows=st.lists(
        st.tuples(
            ids,
            st.lists(ids, max_size=7),
            st.integers(-(2**63), 2**63 - 1),
            ids,
            floats,
            floats,
            st.lists(floats, min_size=3, max_size=3),
        ),
        min_size=0,
        max_size=6,
    )
)
@settings(deadline=None, max_examples=50)
def test_saved_encoders_equal_the_ones_in_training(encoder: SchemaEncoder, reloaded: object, rows: list) -> None:
    width = max((len(row[1]) for row in rows), default=0)
    lists = np.array([row[1] + [b""] * (width - len(row[1])) for row in rows], object).reshape(len(rows), width)
    raw_query = {
        "user_id": tf.constant([r[0] for r in rows], tf.string),
        "history": tf.constant(lists, tf.string, shape=(len(rows), width)),
        "timestamp": tf.constant([r[2] for r in rows], tf.int64),
        "device": tf.constant([r[3] for r in rows], tf.string),
        "taste": tf.constant([r[6][:2] for r in rows], tf.float32, shape=(len(rows), 2)),
    }
    raw_candidate = {
        "item_id": raw_query["user_id"], "brand": raw_query["device"], "genres": raw_query["history"],
        "title": raw_query["device"], "price": tf.constant([r[4] for r in rows], tf.float32),
        "year": tf.constant([r[5] for r in rows], tf.float32),
        "cover": tf.constant([r[6] for r in rows], tf.float32, shape=(len(rows), 3)),
    }  # fmt: skip
    for name, raw, encode in (
        ("query", raw_query, encoder.encode_query),
        ("candidate", raw_candidate, encoder.encode_candidate),
    ):
        expected = encode(raw)
        answer = reloaded.signatures[name](**raw)
        assert answer.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(answer[key], value, err_msg=key)


def test_missing_vocabulary_names_the_command(schema: Schema, tmp_path: Path, learnt: DatasetLayout) -> None:
    (tmp_path / "statistics.json").write_bytes(learnt.statistics.read_bytes())
    with pytest.raises(InputError, match="recstack prepare"):
        SchemaEncoder(schema, DatasetLayout(tmp_path))


def test_missing_statistics_name_the_command(schema: Schema, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recstack prepare"):
        SchemaEncoder(schema, DatasetLayout(tmp_path))


def test_statistics_without_a_feature_are_refused(schema: Schema, tmp_path: Path) -> None:
    write_learnt(tmp_path)
    layout = DatasetLayout(tmp_path)
    Statistics(num_users=3, num_items=5, num_interactions=9).write(layout.statistics)
    with pytest.raises(InputError, match=r"statistics\.json: none of 'price'; .*recstack prepare"):
        SchemaEncoder(schema, layout)


@given(
    st.lists(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=5, max_size=5), min_size=1, max_size=3),
    st.integers(0, 7),
)
@settings(deadline=None, max_examples=25)
def test_what_belongs_to_a_history_keeps_its_places(history: list[list[str]], width: int) -> None:
    # Each entry's companion is the number of its place, so it can be told whose it is; some requests send too few.
    numbers = np.tile(np.arange(1, width + 1), (len(history), 1)).reshape(len(history), width)
    found = last_companions(tf.constant(numbers, tf.int64), tf.constant(history), 3).numpy()
    for row, items in zip(found, history, strict=True):
        places = [place + 1 for place, item in enumerate(items) if item != ""][-3:]
        expected = [place if place <= width else 0 for place in places]
        assert row.tolist() == expected + [0] * (3 - len(expected))
