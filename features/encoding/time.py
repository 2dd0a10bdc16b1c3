"""The hour, weekday, month and year of a moment, as indices."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from features.encoding.encoder import Encoded, FeatureEncoder
from features.spec.time import TIME_PART_SIZES, TimePart, TimestampFeature

_SECONDS_PER_DAY = 86_400
# Years 1900 to 9999 in seconds: keeps the calendar arithmetic far from int64's limits.
_EARLIEST, _LATEST = -2_208_988_800, 253_402_300_799


class TimestampEncoder(FeatureEncoder[TimestampFeature]):
    """Moments to calendar parts, each an index into one table; without parts to whether the moment is known."""

    @property
    def encoded(self) -> Encoded:
        """One index for each part; without parts a single one, which is 0 where the moment is unknown."""
        if not self.feature.parts:
            return Encoded(form="single", width=1, num_indices=2, table=self.feature.name)
        size = sum(1 + TIME_PART_SIZES[part] for part in self.feature.parts)
        return Encoded(form="parts", width=len(self.feature.parts), num_indices=size, table=self.feature.name)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch] int64`, seconds since 1970-01-01 UTC, to `[batch, parts] int32`; without parts `[batch]`."""
        if not self.feature.parts:
            return tf.cast(values != 0, tf.int32)
        return calendar_parts(values, self.feature)


def calendar_parts(seconds: tf.Tensor, feature: TimestampFeature) -> tf.Tensor:
    """Calendar parts as indices into one table, in which each part has its own row for "unknown".

    Args:
        seconds: `[batch] int64`, seconds since 1970-01-01 UTC; 0 means unknown.
        feature: Which parts, and the users' offset from UTC.

    Returns:
        `[batch, parts] int32`.
    """
    local = tf.clip_by_value(seconds, _EARLIEST, _LATEST) + round(feature.utc_offset_hours * 3600)
    known = tf.cast(seconds != 0, tf.int64)
    columns, offset = [], 0
    for part in feature.parts:
        columns.append(offset + known * (1 + _CALENDAR[part](local)))
        offset += 1 + TIME_PART_SIZES[part]
    return tf.cast(tf.stack(columns, axis=-1), tf.int32)


def _hour_of_day(seconds: tf.Tensor) -> tf.Tensor:
    return tf.math.floormod(seconds, _SECONDS_PER_DAY) // 3600


def _day_of_week(seconds: tf.Tensor) -> tf.Tensor:
    """0 is Monday; 1970-01-01 was a Thursday."""
    return tf.math.floormod(tf.math.floordiv(seconds, _SECONDS_PER_DAY) + 3, 7)


def _year_and_month(seconds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Proleptic Gregorian year and month (0 is January).

    Counts days from 0000-03-01 in eras of 400 years, so that the leap day is the last of its year.
    """
    days = tf.math.floordiv(seconds, _SECONDS_PER_DAY) + 719_468
    era = tf.math.floordiv(days, 146_097)
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    month = tf.math.floormod(month_from_march + 2, 12)
    return year_of_era + era * 400 + tf.cast(month <= 1, tf.int64), month


def _year(seconds: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(_year_and_month(seconds)[0] - 1970, 0, TIME_PART_SIZES["year"] - 1)


_CALENDAR: Mapping[TimePart, Callable[[tf.Tensor], tf.Tensor]] = {
    "hour_of_day": _hour_of_day,
    "day_of_week": _day_of_week,
    "month": lambda seconds: _year_and_month(seconds)[1],
    "year": _year,
}
