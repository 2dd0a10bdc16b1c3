"""A training starts from a former run: former values keep their rows, new ones start from the mean."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from features.disk.layout import DatasetLayout, RunLayout
from features.encoding.vocabulary import Vocabulary
from features.errors import InputError
from tests.trainer.small_dataset import NUM_USERS, SCHEMA
from trainer.config.encoders import GRUConfig
from trainer.config.ranking import MLPConfig, RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.config.tables import HashedConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.ranking.stage import RankingStage
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import plan_training, train_stage
from trainer.training.checkpoints import restore_best
from trainer.training.stage import AnyStage, StageContext

RETRIEVAL = RetrievalStage(config=RetrievalConfig(dimension=4, epochs=2, batch_size=8, encoder=GRUConfig()))
RANKING = RankingStage(config=RankingConfig(dimension=4, epochs=2, batch_size=16, network=MLPConfig(hidden=(4,))))
STAGES = {"retrieval": RETRIEVAL, "ranking": RANKING}
NEW_USERS = ("u100", "u101", "u102")


@pytest.fixture(scope="module")
def former(small_dataset: DatasetLayout, tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    run = RunLayout(tmp_path_factory.mktemp("runs") / "former")
    for stage in STAGES.values():
        train_stage(StageContext(schema=SCHEMA, dataset=small_dataset, run=run), stage)
    return run


def write_users(dataset: DatasetLayout, target: Path, tokens: tuple[str, ...]) -> DatasetLayout:
    """The dataset with another vocabulary of users."""
    shutil.copytree(dataset.root, target)
    changed = DatasetLayout(target)
    Vocabulary(tokens).write(changed.vocabulary("user_id"))
    return changed


def users(dataset: DatasetLayout) -> tuple[str, ...]:
    return Vocabulary.read(dataset.vocabulary("user_id")).tokens


@pytest.fixture
def grown(small_dataset: DatasetLayout, tmp_path: Path) -> DatasetLayout:
    return write_users(small_dataset, tmp_path / "grown", (*users(small_dataset), *NEW_USERS))


def first_weights(stage: AnyStage, context: StageContext) -> list[np.ndarray]:
    plan = plan_training(context, stage, encode_dataset(SCHEMA, context.dataset))
    return [weight.numpy() for weight in plan.model.trainable_variables]


def final_weights(stage: AnyStage, dataset: DatasetLayout, run: RunLayout) -> list[np.ndarray]:
    model = stage.make_model(encode_dataset(SCHEMA, dataset), None, seed=0)
    restore_best(model, run.stage(stage.name))
    return [weight.numpy() for weight in model.trainable_variables]


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_former_rows_stay_and_new_ones_are_their_mean(small_dataset, former, grown, tmp_path, name):
    stage = STAGES[name]
    context = StageContext(schema=SCHEMA, dataset=grown, run=RunLayout(tmp_path / "run"), start_from=former)
    old, new = final_weights(stage, small_dataset, former), first_weights(stage, context)
    longer = [(before, after) for before, after in zip(old, new, strict=True) if before.shape != after.shape]
    assert longer
    for before, after in longer:
        assert len(after) == len(before) + len(NEW_USERS)
        np.testing.assert_array_equal(after[: len(before)], before)
        np.testing.assert_allclose(after[len(before) :], np.tile(before.mean(axis=0), (len(NEW_USERS), 1)), atol=1e-6)
    for before, after in zip(old, new, strict=True):
        if before.shape == after.shape:
            np.testing.assert_array_equal(after, before)


@pytest.mark.slow
def test_a_finished_warm_start_is_a_run_of_its_own(small_dataset, former, tmp_path):
    cold = StageContext(schema=SCHEMA, dataset=small_dataset, run=RunLayout(tmp_path / "cold"))
    warm = replace(cold, run=RunLayout(tmp_path / "warm"), start_from=former)
    inputs = {context.run.id: train_stage(context, RETRIEVAL).manifest.inputs for context in (cold, warm)}
    assert inputs["warm"] == {**inputs["cold"], "start_from": "former"}
    assert train_stage(warm, RETRIEVAL).nothing_to_do
    # One that goes on with two more passes is no worse than the two that it went on from.
    metrics = [train_stage(context, RETRIEVAL).manifest.metrics for context in (cold, warm)]
    assert metrics[1][RETRIEVAL.objective] >= metrics[0][RETRIEVAL.objective] - 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES)
def test_rows_follow_their_values_into_another_order(small_dataset, former, tmp_path, name):
    stage, lines = STAGES[name], []
    known = users(small_dataset)[5:]
    reordered = write_users(small_dataset, tmp_path / "reordered", (*NEW_USERS, *known[::-1]))
    context = StageContext(
        schema=SCHEMA, dataset=reordered, run=RunLayout(tmp_path / "run"), start_from=former, report=lines.append
    )
    chance = first_weights(stage, replace(context, start_from=None))
    old, new = final_weights(stage, small_dataset, former), first_weights(stage, context)
    special = 2
    from_old = [*range(special), *(special + users(small_dataset).index(user) for user in known[::-1])]
    in_new = [*range(special), *range(special + len(NEW_USERS), len(known) + special + len(NEW_USERS))]
    of_users = [which for which, weight in enumerate(old) if len(np.atleast_1d(weight)) == special + NUM_USERS]
    assert of_users
    for which in of_users:
        np.testing.assert_array_equal(new[which][in_new], old[which][from_old])
        strangers = slice(special, special + len(NEW_USERS))
        np.testing.assert_array_equal(new[which][strangers], chance[which][strangers])
    assert f"{len(known)} of {len(known) + len(NEW_USERS)} of user_id" in lines[0]
    assert len(lines) == 1


@pytest.mark.slow
def test_a_shift_of_new_items_starts_anew(small_dataset, former, tmp_path):
    """It can be turned on and off between two runs, of which one goes on from the other."""
    shifted = replace(RETRIEVAL, config=replace(RETRIEVAL.config, new_item_cost=0.1))
    on = StageContext(schema=SCHEMA, dataset=small_dataset, run=RunLayout(tmp_path / "on"), start_from=former)
    train_stage(on, shifted)
    off = replace(on, run=RunLayout(tmp_path / "off"), start_from=on.run)
    train_stage(off, RETRIEVAL)


@pytest.mark.slow
def test_another_order_is_refused_where_values_share_rows_by_their_numbers(small_dataset, tmp_path):
    config = replace(RETRIEVAL.config, embedding={"user_id": HashedConfig(rows=4)}, epochs=1)
    stage, run = RetrievalStage(config=config), RunLayout(tmp_path / "hashed")
    train_stage(StageContext(schema=SCHEMA, dataset=small_dataset, run=run), stage)
    reordered = write_users(small_dataset, tmp_path / "reordered", users(small_dataset)[::-1])
    context = StageContext(schema=SCHEMA, dataset=reordered, run=RunLayout(tmp_path / "run"), start_from=run)
    with pytest.raises(
        InputError, match=r"start_from: the values of 'user_id' that run hashed knows are not the first"
    ):
        train_stage(context, stage)


@pytest.mark.slow
def test_other_layers_are_refused(small_dataset, former, tmp_path):
    context = StageContext(schema=SCHEMA, dataset=small_dataset, run=RunLayout(tmp_path / "run"), start_from=former)
    other = replace(RETRIEVAL, config=replace(RETRIEVAL.config, dimension=6))
    with pytest.raises(InputError, match="start_from: the weights of run former do not fit retrieval"):
        train_stage(context, other)


@pytest.mark.slow
def test_a_run_that_is_not_there_is_refused(small_dataset, tmp_path):
    nowhere = RunLayout(tmp_path / "nowhere")
    context = StageContext(schema=SCHEMA, dataset=small_dataset, run=RunLayout(tmp_path / "run"), start_from=nowhere)
    with pytest.raises(InputError, match="start_from: run nowhere has no trained retrieval"):
        train_stage(context, RETRIEVAL)
