"""The list ranking stage on the small dataset: each user's items come in a cycle of the user's own parity."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import RunLayout
from features.errors import ConfigError, InputError
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, write_small_dataset
from trainer.cascade.folds import fold_of
from trainer.cascade.lists import histories_of, questions_of
from trainer.cascade.stage import ListRankingStage, feature_layout, is_repeated, item_values
from trainer.cascade.tables import fit_candidate_features
from trainer.cascade.validation import GAIN_HIGH, GAIN_LOW, NDCG, RETRIEVAL_NDCG
from trainer.config.cascade import ListRankerConfig
from trainer.config.evaluation import EvaluationConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.config.tables import FrequencyConfig
from trainer.config.training import OptimizerConfig
from trainer.data.encoded_dataset import EncodedDataset, encode_dataset
from trainer.data.events import history_ranges
from trainer.evaluation.cascade import evaluate_cascade
from trainer.restore import restore
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.stage import StageContext

pytestmark = pytest.mark.slow

RANKER = ListRankerConfig(
    enabled=True, candidates=8, folds=1, gap=0.0, window=0.5, members=2, hidden=(8,), batch_size=4, epochs=30
)
DAY, PERIOD = 86_400, 1
EVALUATION = EvaluationConfig(cutoffs=(3,), exclude_seen=False)


def stage_of(ranker: ListRankerConfig) -> ListRankingStage:
    config = RetrievalConfig(dimension=4, epochs=2, batch_size=16, optimizer=OptimizerConfig(warmup_steps=0))
    return ListRankingStage(
        config=ranker, retrieval=RetrievalStage(config=config, evaluation=EVALUATION), train_retrieval=trained
    )


def trained(context: StageContext, stage: RetrievalStage):
    train_stage(context, stage)
    return restore(context, stage).model


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> StageContext:
    root = tmp_path_factory.mktemp("cascade")
    return StageContext(schema=SCHEMA, dataset=write_small_dataset(root / "dataset"), run=RunLayout(root / "run"))


@pytest.fixture(scope="module")
def finished(context: StageContext):
    return train_stage(context, stage_of(RANKER))


def test_it_trains_what_it_needs_and_beats_retrieval_that_knows_little(context: StageContext, finished) -> None:
    assert context.run.stage("retrieval").manifest.exists()
    assert (context.run.stage("list_ranking").directory / "folds/0/retrieval/manifest.json").exists()
    # Who took items of one parity so far takes the next ones of it; the tables know after four events a user.
    assert finished.manifest.metrics[NDCG] > finished.manifest.metrics[RETRIEVAL_NDCG]


def test_features_called_as_groups_of_the_list_ranker_keep_their_values(context: StageContext) -> None:
    dataset = encode_dataset(context.schema, context.dataset)
    name = next(iter(item_values(dataset)))
    values = dataset.candidates.features[name]
    others = {"popularity": values, "als": values + 1}
    candidates = replace(dataset.candidates, features=dataset.candidates.features | others)
    found = item_values(replace(dataset, candidates=candidates))
    assert set(found) == {*item_values(dataset), "item_popularity", "item_als"}
    np.testing.assert_array_equal(found["item_als"], found["item_popularity"] + 1)


def test_the_same_again_has_nothing_to_do(context: StageContext, finished) -> None:
    assert train_stage(context, stage_of(RANKER)).nothing_to_do


def test_another_retrieval_means_another_list_ranker(finished) -> None:
    stage = stage_of(RANKER)
    other = replace(stage.retrieval, config=replace(stage.retrieval.config, epochs=1))
    assert stage.inputs() != replace(stage, retrieval=other).inputs()


def test_a_fold_knows_nothing_of_its_window(context: StageContext) -> None:
    dataset = encode_dataset(SCHEMA, context.dataset)
    stage = stage_of(RANKER)
    events = stage.retrieval.events_in_memory(context, dataset)
    fold_stage = stage.fold_retrieval(dataset, events, 0)
    earlier, fold = fold_stage.load_events(context, dataset), fold_stage.fold(events)
    np.testing.assert_array_equal(fold_stage.frequency, np.bincount(earlier.candidate_row, minlength=NUM_ITEMS))
    model = fold_stage.trained(fold_stage.make_model(dataset, earlier, 0))
    features = stage.features(dataset, earlier, model, known=[fold.known])
    targets = fold.window.targets()
    counts = np.bincount(fold.known.candidate_row, minlength=NUM_ITEMS)
    place = features.item_names.index("log_events")
    np.testing.assert_allclose(features.item_table.numpy()[:, place], np.log1p(counts), rtol=1e-6)
    assert len(earlier) + len(targets) == 4 * 16  # without a gap


def test_a_folds_new_items_are_those_without_earlier_events(context: StageContext, tmp_path: Path) -> None:
    """With candidates that are kept for new items; item 3 is taken out of the earlier events."""
    dataset, stage = encode_dataset(SCHEMA, context.dataset), stage_of(replace(RANKER, new_item_candidates=0.25))
    events = stage.retrieval.events_in_memory(context, dataset)
    fold_stage = stage.fold_retrieval(dataset, events, 0)
    frequency = fold_stage.frequency.copy()
    frequency[3] = 0
    fold_stage = replace(fold_stage, frequency=frequency)
    of_fold = fold_stage.dataset(dataset)
    first_index = dataset.encoder.lookup("item_id").vocabulary.first_token_index
    np.testing.assert_array_equal(of_fold.candidates.without_events("item_id", first_index), frequency == 0)
    window = of_fold.renumbered(fold_stage.fold(events).window)
    is_new = frequency[window.candidate_row] == 0
    assert is_new.any()
    ids = dataset.candidates.item_ids.numpy()[window.candidate_row[is_new]]
    unknown = dataset.encoder.lookup("item_id").unknown(tf.constant(ids))
    np.testing.assert_array_equal(window.item_index[is_new], unknown)
    np.testing.assert_array_equal(window.item_index[~is_new], fold_stage.fold(events).window.item_index[~is_new])
    np.testing.assert_array_equal(window.history_items, window.item_index[window.history_events])
    # The restored model gives the new items alone other vectors than those of their own ids.
    model = trained(replace(context, run=RunLayout(tmp_path)), fold_stage)
    vectors = model.embed_candidates(of_fold.candidates).numpy()
    of_own_ids = model.embed_candidates(dataset.candidates).numpy()
    np.testing.assert_array_equal(~np.isclose(vectors, of_own_ids).all(axis=1), frequency == 0)


@pytest.mark.parametrize(("share", "kept"), [(0.25, (5, 0.01)), (0.0, (0, 0.0))])
def test_a_fold_treats_new_items_as_retrieval_does_where_candidates_are_kept(
    context: StageContext, share: float, kept: tuple[int, float]
) -> None:
    dataset, stage = encode_dataset(SCHEMA, context.dataset), stage_of(replace(RANKER, new_item_candidates=share))
    config = replace(stage.retrieval.config, new_item_neighbours=5, new_item_cost=0.01)
    stage = replace(stage, retrieval=replace(stage.retrieval, config=config))
    fold = stage.fold_retrieval(dataset, stage.retrieval.events_in_memory(context, dataset), 0)
    assert (fold.config.new_item_neighbours, fold.config.new_item_cost) == kept


def test_without_candidates_for_new_items_every_item_of_a_fold_keeps_its_id(context: StageContext) -> None:
    dataset, stage = encode_dataset(SCHEMA, context.dataset), stage_of(RANKER)
    fold_stage = stage.fold_retrieval(dataset, stage.retrieval.events_in_memory(context, dataset), 0)
    assert fold_stage.dataset(dataset).candidates.features is dataset.candidates.features
    assert "new items" not in fold_stage.inputs()


def test_a_share_that_leaves_no_place_to_what_is_judged_is_refused() -> None:
    too_much = stage_of(replace(RANKER, new_item_candidates=0.75))
    with pytest.raises(ConfigError, match=r"list_ranking\.new_item_candidates.*at least 3 of 8"):
        too_much.require(SCHEMA)
    stage_of(replace(RANKER, new_item_candidates=0.5)).require(SCHEMA)


def test_a_fold_is_restored_where_rows_depend_on_how_often_items_occur(context: StageContext, tmp_path: Path) -> None:
    """In the fold each item has half of its training events, so that fewer of them are frequent."""
    dataset, stage = encode_dataset(SCHEMA, context.dataset), stage_of(RANKER)
    counts = dataset.candidates.train_frequency
    config = replace(
        stage.retrieval.config, embedding={"item_id": FrequencyConfig(min_events=int(counts.max()), shared_rows=3)}
    )
    stage = replace(stage, retrieval=replace(stage.retrieval, config=config))
    fold_stage = stage.fold_retrieval(dataset, stage.retrieval.events_in_memory(context, dataset), 0)
    assert fold_stage.frequency.max() < counts.max()
    model = trained(replace(context, run=RunLayout(tmp_path)), fold_stage)
    assert model.pairs[0].items.table.shape[0] == 2 + 3  # missing and unknown items, and the shared rows


def test_refreshed_counts_of_a_fold_are_those_of_the_last_refresh_before_the_query(
    context: StageContext, tmp_path: Path
) -> None:
    dataset, stage = encode_dataset(SCHEMA, context.dataset), stage_of(replace(RANKER, refresh_days=PERIOD / DAY))
    events = stage.retrieval.events_in_memory(context, dataset)
    lists = stage.load_events(replace(context, run=RunLayout(tmp_path)), dataset)
    counted = stage_of(RANKER).load_events(replace(context, run=RunLayout(tmp_path)), dataset)
    np.testing.assert_array_equal(lists.rows, counted.rows)
    first = feature_layout(dataset).names.index("log_events")
    np.testing.assert_array_equal(lists.features[..., :first], counted.features[..., :first])
    fold = fold_of(events, RANKER.fold_kind, gap=RANKER.gap, window=RANKER.window)
    asked_at = questions_of(fold.window, only_next=False, exclude_seen=False).asked_at
    refreshed = fold.window.timestamp[asked_at] // PERIOD * PERIOD
    assert (events.timestamp < refreshed[0]).any()
    assert (events.timestamp >= refreshed[0]).any()
    for row, items, values in zip(refreshed, lists.rows, lists.features[..., first], strict=True):
        known = np.bincount(events.candidate_row[events.timestamp < row], minlength=NUM_ITEMS)
        np.testing.assert_allclose(values, np.log1p(known[items]), rtol=1e-6)


def test_a_history_holds_the_last_items_that_came_strictly_before(context: StageContext) -> None:
    events = stage_of(RANKER).retrieval.events_in_memory(context, encode_dataset(SCHEMA, context.dataset))
    asked_at = events.record_splits[:-1] + 3
    short = histories_of(events, asked_at, 2)
    np.testing.assert_array_equal(short.rows, events.candidate_row[asked_at[:, None] - [2, 1]])
    np.testing.assert_array_equal(short.times, events.timestamp[asked_at[:, None] - [2, 1]])
    np.testing.assert_array_equal(short.asked_at, events.timestamp[asked_at])
    longer = histories_of(events, asked_at, 5)
    np.testing.assert_array_equal(longer.rows[:, :3], events.candidate_row[asked_at[:, None] - [3, 2, 1]])
    assert (longer.rows[:, 3:] == -1).all()
    assert (longer.times[:, 3:] == 0).all()


def test_what_is_planted_at_the_moment_of_the_query_or_later_is_in_no_history(context: StageContext) -> None:
    events = stage_of(RANKER).retrieval.events_in_memory(context, encode_dataset(SCHEMA, context.dataset))
    times = events.timestamp.copy()
    times[1::4] = times[2::4]  # four events a user; the second one comes at the moment of the third
    start, end = history_ranges(events.record_splits, times, np.ones(len(events), bool))
    planted = replace(events, timestamp=times, history_start=start, history_end=end)
    asked_at = events.record_splits[:-1] + 2
    before, after = (histories_of(each, asked_at, 4) for each in (events, planted))
    np.testing.assert_array_equal((before.rows >= 0).sum(axis=1), 2)
    np.testing.assert_array_equal(after.rows[:, 0], before.rows[:, 0])
    assert (after.rows[:, 1:] == -1).all()
    assert (after.times < after.asked_at[:, None]).all()


def test_an_event_is_repeated_if_the_user_had_the_item_at_an_earlier_time(context: StageContext) -> None:
    events = stage_of(RANKER).retrieval.events_in_memory(context, encode_dataset(SCHEMA, context.dataset))
    assert not is_repeated(events).any()  # nobody takes an item twice
    rows = events.candidate_row.copy()
    rows[[1, 2, 3]] = rows[0]
    times = events.timestamp.copy()
    times[1] = times[0]
    again = np.flatnonzero(is_repeated(replace(events, candidate_row=rows, timestamp=times)))
    np.testing.assert_array_equal(again, [2, 3])


def test_the_restored_ranker_orders_as_the_trained_one(context: StageContext, finished) -> None:
    stage = stage_of(RANKER)
    model = restore(context, stage).model
    dataset = encode_dataset(SCHEMA, context.dataset)
    measured = stage.make_validation(context, dataset)(model)
    assert measured[NDCG] == pytest.approx(finished.manifest.metrics[NDCG])


@pytest.mark.parametrize(("gain_low", "served"), [(0.01, "list_ranker"), (-0.01, "retrieval")])
def test_evaluation_shows_the_served_order_beside_both_orders(
    context: StageContext, finished, tmp_path: Path, gain_low: float, served: str
) -> None:
    stage, run = stage_of(RANKER), RunLayout(tmp_path / "run")
    shutil.copytree(context.run.root, run.root)
    decided = replace(finished.manifest, metrics={**finished.manifest.metrics, GAIN_LOW: gain_low})
    decided.write(run.stage("list_ranking").manifest)
    config = replace(EVALUATION, cutoffs=(8,))
    result = evaluate_cascade(restore(context, stage), replace(context, run=run), config, stage)
    assert set(result["baselines"]) == {"retrieval", "list_ranker"}
    assert result["ranks"] == (served == "list_ranker")
    assert f"[{gain_low:+.4f}, " in result["reason"]
    assert result["model"]["metrics"] == result["baselines"][served]["metrics"]
    difference = result["versus"]["retrieval"]["ndcg@8"]["difference"]["value"]
    of = {name: part["metrics"]["ndcg@8"]["value"] for name, part in result["baselines"].items()}
    assert of["list_ranker"] != of["retrieval"]
    assert difference == pytest.approx(of[served] - of["retrieval"])


def test_evaluation_fits_the_tables_once_and_counts_items_for_each_split(
    context: StageContext, finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, fitted = stage_of(RANKER), []
    monkeypatch.setattr(
        "trainer.cascade.stage.fit_candidate_features",
        lambda source: fitted.append(source) or fit_candidate_features(source),
    )
    trained = restore(context, stage)
    result = evaluate_cascade(trained, context, replace(EVALUATION, cutoffs=(8,)), stage)
    assert len(fitted) == 1
    assert all(row["meaning"].endswith(".") for row in result["ranker"]["importance"])
    dataset = EncodedDataset(encoder=trained.encoder, candidates=trained.candidates)
    served, validated = (
        stage.served_features(context, dataset, trained_retrieval(context, stage), known)
        for known in (("train", "validation"), ("train",))
    )
    assert (served.item_table.numpy() != validated.item_table.numpy()).any()
    counted = stage.counted(context, dataset, served, known=("train",))
    np.testing.assert_array_equal(counted.item_table, validated.item_table)


def trained_retrieval(context: StageContext, stage: ListRankingStage):
    return stage.train_retrieval(context, stage.retrieval)


def test_the_manifest_holds_what_decides(finished) -> None:
    metrics = finished.manifest.metrics
    assert metrics[GAIN_LOW] <= metrics[NDCG] - metrics[RETRIEVAL_NDCG] <= metrics[GAIN_HIGH]


def test_lists_without_a_target_are_an_error(context: StageContext, tmp_path) -> None:
    stage = stage_of(RANKER)
    lists = stage.load_events(context, encode_dataset(SCHEMA, context.dataset))
    none = replace(lists, labels=np.zeros_like(lists.labels))
    with pytest.raises(InputError, match=r"list_ranking\.candidates"):
        stage.make_examples(none, context)


def test_a_killed_training_goes_on_with_its_folds(context: StageContext, finished, tmp_path) -> None:
    run = RunLayout(tmp_path / "run")
    shutil.copytree(context.run.root, run.root)
    run.stage("list_ranking").manifest.unlink()
    fold = run.stage("list_ranking").directory / "folds/0/retrieval/manifest.json"
    before = fold.stat().st_mtime_ns
    train_stage(replace(context, run=run), stage_of(RANKER))
    assert fold.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"folds": 5}, "folds"),
        ({"candidates": 0}, "candidates"),
        ({"history": 0}, "history"),
        ({"neighbours": 0}, "neighbours"),
        ({"window": 0.0}, "window"),
        ({"new_item_candidates": 1.0}, "new_item_candidates"),
        ({"gap": 1.0}, "gap"),
        ({"hidden": (0,)}, "hidden"),
        ({"dropout": 1.0}, "dropout"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_settings_are_named(changes: dict, field: str) -> None:
    with pytest.raises(ConfigError, match=rf"list_ranking\.{field}"):
        ListRankerConfig(**changes)
