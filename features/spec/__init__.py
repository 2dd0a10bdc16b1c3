"""What each feature means, its raw type and its options, with one file for each family of kinds. No TensorFlow here.

>>> price = NumericFeature(name="price", encoding="buckets", num_buckets=8)
>>> price.kind, price.raw_type, price.filter_by
('numeric', 'float32', 'range')
"""

from features.spec.base import Feature
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryCompanion, HistoryEventTypesFeature, HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.kinds import FEATURE_KINDS
from features.spec.multi_valued import MultiValuedFeature
from features.spec.numeric import NumericFeature
from features.spec.text import TextFeature
from features.spec.time import TimestampFeature
from features.spec.vector import VectorFeature

__all__ = [
    "FEATURE_KINDS",
    "CategoricalFeature",
    "Feature",
    "HistoryCompanion",
    "HistoryEventTypesFeature",
    "HistoryFeature",
    "HistoryTimesFeature",
    "IdFeature",
    "MultiValuedFeature",
    "NumericFeature",
    "TextFeature",
    "TimestampFeature",
    "VectorFeature",
]
