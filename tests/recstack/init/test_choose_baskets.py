"""What is proposed for the baskets of a shop."""

from dataclasses import replace

import numpy as np
import pytest

from features.spec.base import Feature
from features.spec.text import TextFeature
from recstack.init.choose_baskets import choose_baskets
from recstack.init.log import Log
from recstack.init.proposal import Setting

ROWS = np.arange(4)
LOG = Log(users=ROWS, items=ROWS, seconds=ROWS, rows=ROWS, is_order=False, share=1.0)
TITLE = TextFeature(name="title")


def split(kind: str) -> list[Setting]:
    return [Setting(table="pipeline.split", name="kind", value=kind, why="")]


@pytest.mark.parametrize(
    ("log", "examples", "kind", "of_items", "paths"),
    [
        (LOG, "basket", "global_time", [TITLE], ["retrieval.half_life", "retrieval.encoder.side_features"]),
        (LOG, "basket", "global_time", [], ["retrieval.half_life"]),
        (LOG, "basket", "leave_last_out", [TITLE], ["retrieval.encoder.side_features"]),
        (replace(LOG, is_order=True), "basket", "global_time", [], []),
        (LOG, "event", "global_time", [TITLE], []),
    ],
)
def test_settings_follow_the_log(log: Log, examples: str, kind: str, of_items: list[Feature], paths: list[str]) -> None:
    assert [setting.path for setting in choose_baskets(log, examples, split(kind), of_items)] == paths
