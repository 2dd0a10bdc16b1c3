from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.samplers import RandomSampler

from features.disk.manifest import Manifest
from recstack.config import StackConfig, load_config, parse_config
from recstack.tuning.settings import LogFacts
from recstack.tuning.space import SETTINGS, TRIES, Space
from tests.recstack.tuning.conftest import SEQUENCES, facts

CONFIGS = sorted(Path("configs").glob("*.toml"))


def space_of(stack: StackConfig) -> Space:
    dataset = Manifest(kind="dataset", schema_fingerprint="", inputs={}, counts={"candidates": 12_000})
    return Space(base=stack, facts=LogFacts.of(stack, dataset))


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_start_is_the_configuration_and_every_draw_is_valid(path: Path) -> None:
    space = space_of(load_config(path))
    assert space.stack_of(space.start()) == space.base
    study = optuna.create_study(sampler=RandomSampler(seed=1))
    study.enqueue_trial(space.start())
    assert space.suggest(study.ask()) == space.base
    drawn = set()
    for _ in range(60):
        trial = study.ask()
        stack = space.suggest(trial)  # raises what the configuration refuses
        assert stack == space.stack_of(trial.params)
        assert replace(stack, retrieval=space.base.retrieval) == space.base
        drawn.add(stack.to_toml())
    assert len(drawn) > 50


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_tried_first_changes_the_best_and_is_valid(path: Path) -> None:
    space = space_of(load_config(path))
    start = space.start()
    attempts = [params for number in range(len(TRIES)) if (params := space.attempt(number, start)) is not None]
    assert len(attempts) >= 3
    for params in attempts:
        assert space.stack_of(params) != space.base


def test_only_what_the_log_has_a_use_for_is_searched(base: StackConfig) -> None:
    def names(stack: StackConfig, **others: object) -> set[str]:
        return {name.removeprefix("retrieval.") for name in Space(base=stack, facts=facts(**others)).start()}

    assert not names(base) & {"repeat", "half_life"}
    assert {"encoder.layers", "encoder.side_features", "ensemble"} <= names(base)
    events = parse_config(SEQUENCES.replace('"sequence"', '"event"').replace('"transformer"', '"recency"'))
    again = names(events, takes_again=True, is_split_by_time=True)
    assert {"repeat", "half_life"} <= again
    assert not again & {"encoder.layers", "ensemble"}
    assert not names(base, has_side_features=False) & {"encoder.side_features", "id_dropout"}
    assert "negatives.kind" not in names(base, items=1_000_000)


def test_another_encoder_keeps_shared_options_and_brings_its_own(space: Space) -> None:
    stack = space.stack_of(space.start() | {"retrieval.encoder.kind": "recency"})
    assert type(stack.retrieval.encoder).__name__ == "RecencyConfig"
    assert stack.retrieval.encoder.dropout == 0.5
    params = space.attempt(2, space.start())
    assert params is not None
    assert params["retrieval.encoder.layers"] == 2
    without_layers = {name: value for name, value in params.items() if "layers" not in name and "heads" not in name}
    assert space.attempt(2, without_layers | {"retrieval.encoder.kind": "recency"}) is None


def test_the_temperature_follows_the_score(space: Space) -> None:
    stack = space.stack_of(space.start() | {"retrieval.score": "cosine", "retrieval.loss.temperature": 1.5})
    assert stack.retrieval.loss.temperature == pytest.approx(1.5 * 0.1)
    assert space.stack_of({"retrieval.score": "cosine"}).retrieval.loss.temperature == pytest.approx(0.1)


def test_a_value_outside_the_table_can_be_the_start(base: StackConfig) -> None:
    odd = replace(base, retrieval=replace(base.retrieval, dimension=40, epochs=7))
    space = Space(base=odd, facts=facts())
    study = optuna.create_study()
    study.enqueue_trial(space.start())
    assert space.suggest(study.ask()) == odd


def test_an_embedding_of_the_user_beside_a_history_is_the_first_to_go() -> None:
    stack = load_config(Path("configs/movielens.toml"))
    space = space_of(stack)
    params = space.attempt(0, space.start())
    assert params is not None
    assert space.stack_of(params) == replace(stack, retrieval=replace(stack.retrieval, leave_out=("user_id",)))
    without = parse_config(SEQUENCES)
    assert "retrieval.leave_out" not in space_of(without).start()


def test_each_setting_names_a_field() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names)
    assert {f"retrieval.{field}" for change in TRIES for field in change} <= set(names)
