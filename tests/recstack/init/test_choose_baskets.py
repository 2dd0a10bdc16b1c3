"""What is proposed for the baskets of a shop."""

import pytest

from features.spec.base import Feature
from features.spec.text import TextFeature
from recstack.init.choose_baskets import choose_baskets
from recstack.init.proposal import Setting

TITLE = TextFeature(name="title")


def split(kind: str) -> list[Setting]:
    return [Setting(table="pipeline.split", name="kind", value=kind, why="")]


@pytest.mark.parametrize(
    ("examples", "kind", "of_items", "paths"),
    [
        ("basket", "global_time", [TITLE], ["retrieval.half_life", "retrieval.encoder.side_features"]),
        ("basket", "global_time", [], ["retrieval.half_life"]),
        ("basket", "leave_last_out", [TITLE], ["retrieval.encoder.side_features"]),
        ("event", "global_time", [TITLE], []),
    ],
)
def test_settings_follow_the_log(examples: str, kind: str, of_items: list[Feature], paths: list[str]) -> None:
    assert [setting.path for setting in choose_baskets(examples, split(kind), of_items)] == paths
