"""All features of a schema together: shapes, what SavedModels hold, what is missing."""

import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.statistics import Statistics
from features.encoding.vocabulary import Vocabulary
from features.errors import InputError
from features.schema import Schema
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature
from tests.conftest import write_learnt


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
@settings(max_examples=50)
@pytest.mark.slow
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


def test_a_feature_may_be_named_in_any_script(tmp_path: Path) -> None:
    layout = DatasetLayout(tmp_path)
    layout.vocabulary("类型").parent.mkdir()
    Vocabulary(("甲", "乙")).write(layout.vocabulary("类型"))
    Vocabulary(("i0",)).write(layout.vocabulary("item_id"))
    Statistics(num_users=1, num_items=1, num_interactions=1).write(layout.statistics)
    schema = Schema(query=(HistoryFeature(),), candidate=(IdFeature(name="item_id"), CategoricalFeature(name="类型")))
    encoded = SchemaEncoder(schema, layout).encode_candidate(
        {"item_id": tf.constant(["i0"]), "类型": tf.constant(["乙"])}
    )
    assert encoded["类型"].numpy().tolist() == [3]  # missing, one bucket for unknown values, then the vocabulary
