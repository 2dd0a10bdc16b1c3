from dataclasses import replace

import pytest

from features.errors import ConfigError
from tests.trainer.small_dataset import SCHEMA
from trainer.config.augmentation import AugmentationConfig
from trainer.config.retrieval import RetrievalConfig, require_features, streaming_obstacle

SHARES = ("crop", "mask", "substitute")


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_lie_between_none_and_all(name, share):
    with pytest.raises(ConfigError, match=rf"retrieval\.augmentation\.{name} = .*: expected a share in \[0, 1\]"):
        AugmentationConfig(**{name: share})


def test_an_item_is_replaced_once():
    AugmentationConfig(mask=0.5, substitute=0.5)
    with pytest.raises(ConfigError, match=r"augmentation\.substitute = 0\.6: expected at most 1 together with `mask`"):
        AugmentationConfig(mask=0.5, substitute=0.6)


def test_similar_items_are_drawn_from_one_at_least():
    for neighbours in (0, 1_001):
        with pytest.raises(
            ConfigError, match=rf"retrieval\.augmentation\.neighbours = {neighbours}: .* from 1 to 1,000"
        ):
            AugmentationConfig(neighbours=neighbours)


def test_a_set_has_no_newest_items():
    with pytest.raises(ConfigError, match=r"retrieval\.augmentation\.crop = 0\.5: expected 0, or `examples`"):
        RetrievalConfig(examples="set", augmentation=AugmentationConfig(crop=0.5))
    RetrievalConfig(examples="set", augmentation=AugmentationConfig(mask=0.1, substitute=0.1))


@pytest.mark.parametrize("name", SHARES)
def test_without_a_history_there_is_nothing_to_change(name):
    schema = replace(SCHEMA, query=tuple(feature for feature in SCHEMA.query if feature.kind != "history"))
    config = RetrievalConfig(augmentation=AugmentationConfig(**{name: 0.5}))
    with pytest.raises(ConfigError, match=rf'augmentation\.{name} = 0\.5: expected 0, or a feature of kind "history"'):
        require_features(config, schema)
    require_features(config, SCHEMA)
    require_features(RetrievalConfig(), schema)


def test_similar_items_alone_need_all_events():
    others = RetrievalConfig(augmentation=AugmentationConfig(crop=0.5, mask=0.5))
    assert streaming_obstacle(others) == ""
    similar = RetrievalConfig(augmentation=AugmentationConfig(substitute=0.5))
    assert "retrieval.augmentation.substitute" in streaming_obstacle(similar)
