"""The table of feature kinds.

A feature is read from a TOML table whose `kind` names the class:

    [[features.candidate]]
    kind = "multi_valued"
    name = "genres"
    separator = "|"
"""

from typing import TypeAlias

from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryEventTypesFeature, HistoryFeature, HistoryTimesFeature
from features.spec.ids import IdFeature
from features.spec.multi_valued import MultiValuedFeature
from features.spec.numeric import NumericFeature
from features.spec.text import TextFeature
from features.spec.time import TimestampFeature
from features.spec.vector import VectorFeature

QueryFeature: TypeAlias = (
    IdFeature
    | HistoryFeature
    | HistoryEventTypesFeature
    | HistoryTimesFeature
    | TimestampFeature
    | CategoricalFeature
    | NumericFeature
    | TextFeature
    | MultiValuedFeature
    | VectorFeature
)
CandidateFeature: TypeAlias = (
    IdFeature | CategoricalFeature | NumericFeature | TextFeature | MultiValuedFeature | VectorFeature
)
