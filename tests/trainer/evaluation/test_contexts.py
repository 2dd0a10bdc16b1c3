from dataclasses import replace

import numpy as np
import pytest

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.vocabulary import Vocabulary
from features.errors import ConfigError
from features.spec.base import Feature
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, write_small_dataset
from trainer.config.baselines import BaselinesConfig
from trainer.config.evaluation import EvaluationConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.evaluation.contexts import context_features, context_reader
from trainer.evaluation.queries import training_interactions
from trainer.evaluation.retrieval import _fitting, load_data
from trainer.restore import Trained

COUNTRY = CategoricalFeature(name="country")
OF_USERS = CategoricalFeature(name="land", table="users")


@pytest.fixture(scope="module")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """A copy of its own, to which vocabularies are added."""
    return write_small_dataset(tmp_path_factory.mktemp("contexts"))


def encoder_with(layout: DatasetLayout, *query: Feature) -> SchemaEncoder:
    """The small dataset's encoder with these query features; each categorical one has a vocabulary of two."""
    for feature in (COUNTRY, OF_USERS):
        Vocabulary(("no", "it")).write(layout.vocabulary(feature.name))
    return SchemaEncoder(replace(SCHEMA, query=query), layout)


def test_features_with_one_index_a_value_come_before_the_parts_of_a_time(small_dataset: DatasetLayout) -> None:
    encoder = encoder_with(small_dataset, *SCHEMA.query, OF_USERS, COUNTRY)
    assert context_features(encoder) == ["land", "country", "timestamp"]


def test_neither_the_user_nor_the_history_is_a_context(small_dataset: DatasetLayout) -> None:
    encoder = encoder_with(small_dataset, IdFeature(name="user_id"), HistoryFeature(length=4))
    assert context_features(encoder) == []
    assert context_reader(encoder, "") is None
    with pytest.raises(
        ConfigError, match=r"evaluation.baselines.context = 'country': expected empty: no query feature"
    ):
        context_reader(encoder, "country")


def test_a_name_that_is_no_context_is_refused_with_those_that_are(small_dataset: DatasetLayout) -> None:
    encoder = encoder_with(small_dataset, *SCHEMA.query, COUNTRY)
    with pytest.raises(ConfigError, match=r"= 'user_id': expected empty or one of country, timestamp"):
        context_reader(encoder, "user_id")


def test_values_of_users_and_of_events_are_those_of_each_event(small_dataset: DatasetLayout) -> None:
    encoder = encoder_with(small_dataset, *SCHEMA.query, OF_USERS, COUNTRY)
    events = encode_dataset(SCHEMA, small_dataset).events(small_dataset.interactions("train"), records="retrieval")
    of_users, of_events = np.arange(events.num_records), np.arange(len(events)) + 7
    events = replace(events, user={"land": of_users}, context={**events.context, "country": of_events})
    by_user, by_event, by_day = (context_reader(encoder, name) for name in ("land", "country", "timestamp"))
    assert by_user is not None
    assert by_event is not None
    assert by_day is not None
    np.testing.assert_array_equal(by_user(events), of_users[events.record_of_event()])
    np.testing.assert_array_equal(by_event(events), of_events)
    np.testing.assert_array_equal(by_day(events), 4)  # all of it is on a Thursday: 1 + 3


def test_training_events_keep_their_context_when_they_are_sorted(small_dataset: DatasetLayout) -> None:
    dataset = encode_dataset(SCHEMA, small_dataset)
    whole = dataset.events(small_dataset.interactions("train"), records="retrieval")
    found = training_interactions([whole], SCHEMA, 2, NUM_ITEMS, context=lambda events: events.item_index + 100)
    assert found.context is not None
    # Any value that tells the event apart: here the item's own index, two special ones before the items.
    np.testing.assert_array_equal(found.context, found.item_rows + 2 + 100)


def test_the_baseline_is_left_out_with_a_line_where_there_is_no_context(small_dataset: DatasetLayout) -> None:
    dataset, lines = encode_dataset(SCHEMA, small_dataset), list[str]()
    trained = Trained(encoder=dataset.encoder, model=None, candidates=dataset.candidates)
    judged = load_data(trained, small_dataset, EvaluationConfig()).judged
    names = BaselinesConfig(names=("popularity", "context_popularity")).names
    assert list(_fitting(names, judged, lines.append)) == list(names)
    without = replace(judged, queries=replace(judged.queries, context=None))
    assert list(_fitting(names, without, lines.append)) == ["popularity"]
    (line,) = lines
    assert line.startswith("context_popularity: left out")
