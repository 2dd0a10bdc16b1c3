import numpy as np
import pyarrow as pa
import pytest

from beam_pipelines.config import LabelConfig
from beam_pipelines.passes.labels import label_events, positive_events, sampled_labels
from beam_pipelines.sources.tables import EVENT_TYPE, RATING
from features.spec.tasks import Task

NAN = float("nan")
LIKED, RATED = Task(name="liked", threshold=4.0), Task(name="rating", type="regression")


def test_one_rating_gives_the_labels_of_several_tasks() -> None:
    events = pa.table({RATING: [1.0, 4.0, 5.0]})
    found = label_events(events, (LIKED, RATED), LabelConfig(rating_column="r"))
    np.testing.assert_array_equal(found.values, np.array([[0, 1], [1, 4], [1, 5]], np.float32))
    assert found.positive.tolist() == [True] * 3


def test_threshold_of_the_task_goes_before_that_of_the_configuration() -> None:
    events = pa.table({RATING: [1.0, 3.0, 4.0]})
    config = LabelConfig(rating_column="r", threshold=3.0, ranking_label="rating")
    tasks = (Task(name="own", threshold=4.0), Task(name="configured"))
    # Without a threshold of its own, `ranking_label` says what the label is.
    np.testing.assert_array_equal(label_events(events, tasks, config).values, [[0, 1], [0, 3], [1, 4]])


def test_types_of_events_become_tasks_of_their_own() -> None:
    events = pa.table({EVENT_TYPE: ["shown", "view", "buy"]})
    config = LabelConfig(event_type_column="t", event_weights={"shown": 0.0, "view": 1.0, "buy": 5.0})
    tasks = (Task(name="taken"), Task(name="bought", event_types=("buy",)))
    found = label_events(events, tasks, config)
    np.testing.assert_array_equal(found.values, [[0, 0], [1, 0], [1, 1]])
    assert found.weight.tolist() == [1, 1, 5]
    assert found.positive.tolist() == positive_events(events, config).tolist() == [False, True, True]


def test_what_was_shown_and_not_taken_has_no_rating() -> None:
    events = pa.table({EVENT_TYPE: ["shown", "rated"], RATING: [0.0, 4.0]})
    config = LabelConfig(rating_column="r", event_type_column="t", event_weights={"shown": 0.0, "rated": 1.0})
    np.testing.assert_array_equal(label_events(events, (LIKED, RATED), config).values, [[0, NAN], [1, 4]])


@pytest.mark.parametrize("size", [0, 2])
def test_sampled_negatives_are_disliked_but_not_rated(size: int) -> None:
    np.testing.assert_array_equal(sampled_labels((LIKED, RATED), size), np.array([[0, NAN]] * size).reshape(size, 2))
