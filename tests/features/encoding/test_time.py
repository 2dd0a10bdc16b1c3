"""Calendar parts against `datetime`."""

import datetime

import numpy as np
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from features.encoding.encoder import Learnt
from features.encoding.statistics import Statistics
from features.encoding.time import TimestampEncoder, calendar_parts
from features.schema import Schema
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature
from features.spec.time import TIME_PART_SIZES, TimestampFeature

ALL_PARTS = TimestampFeature(name="timestamp", parts=("hour_of_day", "day_of_week", "month", "year"))

UNLEARNT = TimestampFeature(name="timestamp", parts=())


@given(
    st.lists(
        st.datetimes(datetime.datetime(1970, 1, 1, 0, 0, 1), datetime.datetime(2099, 12, 31)), min_size=1, max_size=20
    )
)
@example([datetime.datetime(2000, 2, 29), datetime.datetime(2100 - 1, 12, 31), datetime.datetime(2024, 12, 31, 23)])
def test_calendar_parts_equal_the_standard_library(moments: list[datetime.datetime]) -> None:
    seconds = [int(m.replace(tzinfo=datetime.UTC).timestamp()) for m in moments]
    offsets = np.cumsum([0, *(1 + TIME_PART_SIZES[part] for part in ALL_PARTS.parts)])[:-1]
    expected = offsets + [[1 + m.hour, 1 + m.weekday(), m.month, 1 + m.year - 1970] for m in moments]
    np.testing.assert_array_equal(calendar_parts(tf.constant(seconds, tf.int64), ALL_PARTS), expected)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20))
def test_calendar_indices_stay_inside_their_part_for_any_integer(seconds: list[int]) -> None:
    indices = calendar_parts(tf.constant(seconds, tf.int64), ALL_PARTS).numpy()
    low = np.cumsum([0, *(1 + TIME_PART_SIZES[part] for part in ALL_PARTS.parts)])
    assert (indices >= low[:-1]).all()
    assert (indices < low[1:]).all()


def test_zero_seconds_mean_unknown_in_each_part() -> None:
    offsets = np.cumsum([0, *(1 + TIME_PART_SIZES[part] for part in ALL_PARTS.parts)])[:-1]
    np.testing.assert_array_equal(calendar_parts(tf.constant([0], tf.int64), ALL_PARTS)[0], offsets)


def test_utc_offset_moves_the_hour() -> None:
    noon_utc = tf.constant([12 * 3600], tf.int64)
    east = TimestampFeature(name="timestamp", parts=("hour_of_day",), utc_offset_hours=5.5)
    assert calendar_parts(noon_utc, east).numpy().tolist() == [[1 + 17]]


def test_without_parts_a_moment_is_known_or_not_and_nothing_to_learn_from() -> None:
    schema = Schema(query=(HistoryFeature(), UNLEARNT), candidate=(IdFeature(name="item_id"),))
    assert UNLEARNT not in schema.embedded_query
    encoder = TimestampEncoder(
        UNLEARNT, Learnt(schema=schema, lookups={}, statistics=Statistics(num_users=1, num_items=1, num_interactions=1))
    )
    assert encoder(tf.constant([0, 1_700_000_000], tf.int64)).numpy().tolist() == [0, 1]
    assert (encoder.encoded.form, encoder.encoded.num_indices) == ("single", 2)
