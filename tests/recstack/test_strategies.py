"""What is refused before a training starts: steps that XLA, and so a TPU, does not compile."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from features.errors import ConfigError
from features.serialization import structure, unstructure
from recstack.config import StackConfig, require_strategy
from trainer.config.training import StrategyName

BASE = structure(
    {"features": {"query": [{"kind": "history"}], "candidate": [{"kind": "id", "name": "item_id"}]}}, StackConfig
)
XLA = replace(BASE, training=replace(BASE.training, xla=True))


def changed(stack: StackConfig, retrieval: Mapping[str, Any]) -> StackConfig:
    table = unstructure(stack)
    table["evaluation"]["exclude_seen"] = False
    return structure(table | {"retrieval": table["retrieval"] | retrieval}, StackConfig)


@pytest.mark.parametrize(
    ("retrieval", "words"),
    [
        ({"negatives": {"kind": "cross_batch"}}, r"retrieval.negatives.kind = 'cross_batch'.*\"in_batch\""),
        ({"negatives": {"kind": "uniform", "hard_negatives": 4}}, r"negatives.hard_negatives = 4: expected 0"),
        ({"repeat": 1.0}, r"retrieval.repeat = 1.0: expected 0"),
    ],
)
def test_what_has_no_fixed_size_is_not_compiled(retrieval: Mapping[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=f"{words}.* with training.xla, since XLA"):
        require_strategy(changed(XLA, retrieval), "retrieval")
    on_tpu = changed(replace(BASE, strategy="tpu"), retrieval)
    with pytest.raises(ConfigError, match=f'{words}.* with strategy = "tpu", since XLA'):
        require_strategy(on_tpu, "retrieval")
    with pytest.raises(ConfigError, match=f'{words}.* with strategy = "tpu"'):
        require_strategy(on_tpu, "list_ranking")  # which trains the retrieval of its folds
    require_strategy(on_tpu, "ranking")
    require_strategy(changed(BASE, retrieval), "retrieval")
    require_strategy(XLA, "retrieval")


@pytest.mark.parametrize("strategy", ["mirrored", "multi_worker_mirrored", "parameter_server", "tpu"])
def test_xla_is_for_one_device(strategy: StrategyName) -> None:
    with pytest.raises(ConfigError, match=f'training.xla = True: expected false with strategy = "{strategy}"'):
        require_strategy(replace(XLA, strategy=strategy), "ranking")
