"""The table of feature kinds: what a feature means, and the class that encodes its values.

A feature is read from a TOML table whose `kind` is a name of this table; the other keys are the fields of its class:

    [[features.candidate]]
    kind = "multi_valued"
    name = "genres"
    separator = "|"
"""

from typing import Final

from features.kinds import Kinds
from features.spec.base import Feature
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryEventTypesFeature, HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.multi_valued import MultiValuedFeature
from features.spec.numeric import NumericFeature
from features.spec.text import TextFeature
from features.spec.time import TimestampFeature
from features.spec.vector import VectorFeature

FEATURE_KINDS: Final = Kinds(
    Feature,
    {
        "id": (IdFeature, "features.encoding.ids:IdEncoder"),
        "history": (HistoryFeature, "features.encoding.history:HistoryItemsEncoder"),
        "history_event_types": (HistoryEventTypesFeature, "features.encoding.history:HistoryEventTypesEncoder"),
        "history_times": (HistoryTimesFeature, "features.encoding.history:HistoryTimesEncoder"),
        "timestamp": (TimestampFeature, "features.encoding.time:TimestampEncoder"),
        "categorical": (CategoricalFeature, "features.encoding.categorical:CategoricalEncoder"),
        "numeric": (NumericFeature, "features.encoding.numeric:NumericEncoder"),
        "text": (TextFeature, "features.encoding.text:TextEncoder"),
        "multi_valued": (MultiValuedFeature, "features.encoding.multi_valued:MultiValuedEncoder"),
        "vector": (VectorFeature, "features.encoding.vector:VectorEncoder"),
    },
)
