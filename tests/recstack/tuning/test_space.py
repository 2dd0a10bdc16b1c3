from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.samplers import RandomSampler

from features.disk.manifest import Manifest
from recstack.config import StackConfig, load_config, parse_config
from recstack.tuning.searched import SEARCHED
from recstack.tuning.searched.retrieval import RETRIEVAL
from recstack.tuning.settings import LogFacts, Searched
from recstack.tuning.space import Space
from tests.recstack.tuning.conftest import SEQUENCES, facts
from trainer.config.ranking import MMoEConfig
from trainer.config.tables import FullConfig

CONFIGS = sorted(Path("configs").glob("*.toml"))


def space_of(stack: StackConfig, searched: Searched = RETRIEVAL) -> Space:
    dataset = Manifest(kind="dataset", schema_fingerprint="", inputs={}, counts={"candidates": 12_000})
    return Space(base=stack, facts=LogFacts.of(stack, dataset), searched=searched)


each_stage = pytest.mark.parametrize("searched", SEARCHED.values(), ids=lambda searched: searched.stage)


@pytest.mark.slow
@each_stage
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_start_is_the_configuration_and_every_draw_is_valid(path: Path, searched: Searched) -> None:
    space = space_of(load_config(path), searched)
    assert space.stack_of(space.start()) == space.base
    study = optuna.create_study(sampler=RandomSampler(seed=1))
    study.enqueue_trial(space.start())
    assert space.suggest(study.ask()) == space.base
    drawn = set()
    for _ in range(60):
        trial = study.ask()
        stack = space.suggest(trial)  # raises what the configuration refuses
        assert stack == space.stack_of(trial.params)
        assert replace(stack, **{searched.stage: getattr(space.base, searched.stage)}) == space.base
        drawn.add(stack.to_toml())
    assert len(drawn) > 50


@each_stage
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_tried_first_changes_the_best_and_is_valid(path: Path, searched: Searched) -> None:
    space = space_of(load_config(path), searched)
    start = space.start()
    attempts = [params for number in range(len(searched.tries)) if (params := space.attempt(number, start)) is not None]
    assert len(attempts) >= 3
    for params in attempts:
        assert space.stack_of(params) != space.base


def test_only_what_the_log_has_a_use_for_is_searched(base: StackConfig) -> None:
    def names(stack: StackConfig, **others: object) -> set[str]:
        return set(Space(base=stack, facts=facts(**others), searched=RETRIEVAL).start())

    assert not names(base) & {"repeat", "half_life"}
    assert {"encoder.layers", "encoder.side_features", "ensemble"} <= names(base)
    events = parse_config(SEQUENCES.replace('"sequence"', '"event"').replace('"transformer"', '"recency"'))
    again = names(events, takes_again=True, is_split_by_time=True)
    assert {"repeat", "half_life"} <= again
    assert not again & {"encoder.layers", "ensemble"}
    assert "repeat" not in names(events, takes_again=True, is_compiled=True)
    assert not names(base, has_side_features=False) & {"encoder.side_features", "id_dropout"}
    of_content = {"content_weight", "semantic_ids.levels"}
    assert of_content <= names(base, has_content=True)
    assert not of_content & names(base, has_content=False)
    assert "negatives.kind" not in names(base, items=1_000_000)


def test_items_are_told_apart_by_what_is_not_left_out() -> None:
    films = load_config(Path("configs/movielens.toml"))
    assert space_of(films).facts.has_content
    without = replace(films, retrieval=replace(films.retrieval, leave_out=("title", "genres", "year")))
    assert not space_of(without).facts.has_content


def test_another_encoder_keeps_shared_options_and_brings_its_own(space: Space) -> None:
    stack = space.stack_of(space.start() | {"encoder.kind": "recency"})
    assert type(stack.retrieval.encoder).__name__ == "RecencyConfig"
    assert stack.retrieval.encoder.dropout == 0.5
    params = space.attempt(4, space.start())
    assert params is not None
    assert params["encoder.layers"] == 2
    without_layers = {name: value for name, value in params.items() if "layers" not in name and "heads" not in name}
    assert space.attempt(4, without_layers | {"encoder.kind": "recency"}) is None


def test_a_change_is_about_its_first_field(space: Space) -> None:
    """The second one is the transformer of examples of sequence, with a width and learning rate that suit it."""
    assert space.attempt(1, space.start()) is None
    recency = space.start() | {"encoder.kind": "recency"}
    params = space.attempt(1, recency)
    assert params is not None
    assert params["encoder.kind"] == "transformer"
    assert params["dimension"] == 128
    assert space.stack_of(params).retrieval.examples == "sequence"


def test_the_temperature_follows_the_score(space: Space) -> None:
    stack = space.stack_of(space.start() | {"score": "cosine", "loss.temperature": 1.5})
    assert stack.retrieval.loss.temperature == pytest.approx(1.5 * 0.1)
    assert space.stack_of({"score": "cosine"}).retrieval.loss.temperature == pytest.approx(0.1)


def test_a_value_outside_the_table_can_be_the_start(base: StackConfig) -> None:
    odd = replace(base, retrieval=replace(base.retrieval, dimension=40, epochs=7))
    space = Space(base=odd, facts=facts(), searched=RETRIEVAL)
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
    assert "leave_out" not in space_of(without).start()
    own = replace(stack, retrieval=replace(stack.retrieval, embedding={"user_id": FullConfig()}))
    assert "leave_out" not in space_of(own).start()  # a table of the user's own would not be read


@each_stage
def test_each_setting_names_a_field(searched: Searched) -> None:
    names = [setting.field for setting in searched.settings]
    assert len(set(names)) == len(names)
    assert {field for change in searched.tries for field in change} <= set(names)


def test_networks_and_sharing_are_searched_where_the_log_has_a_use_for_them() -> None:
    without = Space(base=parse_config(SEQUENCES), facts=facts(has_history=False, tasks=1), searched=SEARCHED["ranking"])
    described = "\n".join(without.describe())
    assert "'dlrm'" in described
    assert "'din'" not in described
    assert "multi_task.kind" not in without.start()
    several = Space(base=parse_config(SEQUENCES), facts=facts(tasks=2), searched=SEARCHED["ranking"])
    assert several.stack_of({"multi_task.kind": "mmoe"}).ranking.multi_task == MMoEConfig()
    assert "'din'" in "\n".join(several.describe())


def test_widths_are_numbers_again(base: StackConfig) -> None:
    space = Space(base=base, facts=facts(), searched=SEARCHED["list_ranking"])
    assert space.start()["hidden"] == "64-32"
    assert space.stack_of({"hidden": "128-64"}).list_ranking.hidden == (128, 64)
    assert space.stack_of({"hidden": ""}).list_ranking.hidden == ()
