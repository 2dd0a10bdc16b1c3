"""The stages whose settings `recstack tune` searches."""

from collections.abc import Mapping

from features.disk.layout import StageName
from recstack.tuning.searched.list_ranking import LIST_RANKING
from recstack.tuning.searched.ranking import RANKING
from recstack.tuning.searched.retrieval import RETRIEVAL
from recstack.tuning.settings import Searched

SEARCHED: Mapping[StageName, Searched] = {each.stage: each for each in (RETRIEVAL, RANKING, LIST_RANKING)}
