"""Semantic ids in the two-tower model: codes that like items share, from training to the SavedModel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout, RunLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.vocabulary import Vocabulary
from features.errors import ConfigError
from features.spec.ids import IdFeature
from features.spec.numeric import NumericFeature
from features.spec.vector import VectorFeature
from tests.trainer.retrieval.test_model import make_model, query
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, write_small_dataset
from tests.trainer.small_training import train_and_restore
from trainer.config.encoders import GRUConfig, MeanConfig
from trainer.config.retrieval import RetrievalConfig, require_features
from trainer.config.semantic_ids import SemanticIdsConfig
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.encoded_dataset import encode_dataset
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.semantic_ids import SEMANTIC_IDS, codes_of, fit_codes, make_semantic_codes
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import plan_training, train_stage
from trainer.training.stage import StageContext

IDS = SemanticIdsConfig(levels=2, codes=2, components=2)
TABLE = {"semantic_ids": {"levels": 2, "codes": 2, "components": 2}, "id_dropout": 0.2}
UNKNOWN = 1


def fitted(dataset: DatasetLayout, config: RetrievalConfig) -> tuple[TwoTowerModel, EncodedCatalogue]:
    model = make_model(dataset, config)
    encoder = SchemaEncoder(SCHEMA, dataset)
    candidates = load_catalogue(dataset, encoder)
    fit_codes(model, encoder, candidates, seed=0)
    return model, candidates


@pytest.fixture(scope="module")
def with_new_items(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    """The small dataset without the last two items in its vocabulary."""
    dataset = write_small_dataset(tmp_path_factory.mktemp("new"))
    Vocabulary(tuple(f"i{n}" for n in range(NUM_ITEMS - 2))).write(dataset.vocabulary("item_id"))
    return dataset


def test_new_items_have_the_codes_of_their_like(with_new_items: DatasetLayout) -> None:
    model, candidates = fitted(with_new_items, RetrievalConfig(dimension=4, semantic_ids=IDS))
    (layer,) = codes_of(model)
    codes = layer(candidates.features).numpy()
    is_odd = np.array([int(item.decode()[1:]) % 2 for item in candidates.item_ids.numpy()], bool)
    assert (candidates.features["item_id"].numpy() == UNKNOWN).sum() == 2
    for group in (is_odd, ~is_odd):
        assert len(np.unique(codes[group], axis=0)) == 1
    assert (codes[is_odd][0] != codes[~is_odd][0]).any()


def test_the_vector_is_the_sum_of_the_rows_of_its_codes_times_a_gate(small_dataset: DatasetLayout) -> None:
    config = RetrievalConfig(dimension=4, score="dot", item_bias=False, semantic_ids=IDS)
    model, candidates = fitted(small_dataset, config)
    tower = model.towers.pairs[0].candidate
    layer = tower.features.derived[SEMANTIC_IDS]
    codes, rows = layer.codes(candidates.features).numpy(), layer.rows.numpy()
    expected = sum(rows[level * IDS.codes + codes[:, level]] for level in range(IDS.levels))
    np.testing.assert_allclose(layer(candidates.features), expected, atol=1e-6)
    without = tower.features.vectors(candidates.features)
    del without[SEMANTIC_IDS]
    rest = tower.features.add_up(without)
    gate = tower.features.gates[SEMANTIC_IDS].numpy()
    np.testing.assert_allclose(tower(candidates.features), rest + gate * expected, atol=1e-5)


def test_an_item_without_content_has_no_code(small_dataset: DatasetLayout) -> None:
    model, candidates = fitted(small_dataset, RetrievalConfig(dimension=4, semantic_ids=IDS))
    layer = model.towers.pairs[0].candidate.features.derived[SEMANTIC_IDS]
    nothing = {"item_id": tf.constant([3, 4]), "parity": tf.constant([[0, 0, 0], [UNKNOWN, 0, 0]])}
    np.testing.assert_array_equal(layer.codes(nothing), -np.ones([2, IDS.levels]))
    np.testing.assert_array_equal(layer(nothing), np.zeros([2, 4]))
    assert np.abs(layer(candidates.features)).min(axis=0).max() > 0


def test_items_of_histories_have_theirs_too(small_dataset: DatasetLayout) -> None:
    config = RetrievalConfig(
        dimension=4, score="dot", item_bias=False, semantic_ids=IDS, encoder=MeanConfig(side_features=True)
    )
    model, candidates = fitted(small_dataset, config)
    in_history = model.towers.pairs[0].query.history_embedding.item_vectors
    expected = model.towers.pairs[0].candidate(candidates.features)
    np.testing.assert_allclose(in_history(candidates.features["item_id"]), expected, rtol=1e-5, atol=1e-6)
    frozen = model.towers.frozen()
    np.testing.assert_allclose(frozen.query_tower(query()), model.towers.query_tower(query()), rtol=1e-5, atol=1e-6)


def test_members_of_an_ensemble_share_codes_and_have_rows_of_their_own(small_dataset: DatasetLayout) -> None:
    config = RetrievalConfig(dimension=4, semantic_ids=IDS, ensemble=(GRUConfig(),))
    model, _ = fitted(small_dataset, config)
    assert len(codes_of(model)) == 1
    first, second = (pair.candidate.features.derived[SEMANTIC_IDS] for pair in model.towers.pairs)
    assert first.codes is second.codes
    assert first.rows is not second.rows


def test_off_there_is_nothing_of_them(small_dataset: DatasetLayout) -> None:
    model = make_model(small_dataset, RetrievalConfig(dimension=4))
    assert RetrievalConfig().semantic_ids.levels == 0
    assert not codes_of(model)
    assert not model.towers.pairs[0].candidate.features.derived
    assert [weight for weight in model.variables if "semantic" in weight.name or "content" in weight.name] == []
    assert SEMANTIC_IDS not in model.towers.pairs[0].candidate.features.gates


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"hidden": [8], "ensemble": [{"kind": "gru"}], "new_item_neighbours": 3},
        {"optimizer": {"kind": "row_wise_adagrad", "learning_rate": 0.1}},
        {"examples": "sequence", "encoder": {"kind": "transformer", "side_features": True}},
    ],
    ids=["plain", "hidden layers, ensemble, neighbours", "row-wise", "sequence"],
)
def test_is_restored_as_it_was_trained(with_new_items: DatasetLayout, tmp_path: Path, more) -> None:
    trained = train_and_restore(with_new_items, tmp_path / "run", TABLE | more)
    layer = trained.model.pairs[0].candidate.features.derived[SEMANTIC_IDS]
    assert np.abs(layer.rows.numpy()).max() > 0  # the rows are trained
    codes = layer.codes(trained.candidates.features).numpy()
    assert len(np.unique(codes, axis=0)) == 2
    vectors = trained.model.embed_candidates(trained.candidates).numpy()
    again = train_and_restore(with_new_items, tmp_path / "run", TABLE | more)  # nothing to train: the run's weights
    np.testing.assert_array_equal(again.model.embed_candidates(again.candidates), vectors)
    assert saved_and_loaded(trained.model.candidate_tower, trained.candidates, tmp_path) == pytest.approx(
        trained.model.candidate_tower(trained.candidates.features).numpy(), abs=1e-6
    )


def saved_and_loaded(tower: tf.keras.layers.Layer, candidates: EncodedCatalogue, folder: Path) -> np.ndarray:
    module, features = tf.Module(), candidates.features
    module.variables_of_tower = tower.variables
    specs = {name: tf.TensorSpec([None, *value.shape[1:]], value.dtype) for name, value in features.items()}
    module.embed = tf.function(lambda encoded: tower(encoded), input_signature=[specs], autograph=False)
    tf.saved_model.save(module, str(folder / "model"))
    loaded = tf.saved_model.load(str(folder / "model"))
    return loaded.embed(features).numpy()


@pytest.mark.slow
def test_a_warm_start_keeps_the_codes(small_dataset: DatasetLayout, tmp_path: Path) -> None:
    config = RetrievalConfig(dimension=4, epochs=2, batch_size=8, semantic_ids=IDS)
    stage, former = RetrievalStage(config=config), RunLayout(tmp_path / "former")
    train_stage(StageContext(schema=SCHEMA, dataset=small_dataset, run=former), stage)
    # A value that came since, before the others: the rows move, and with them what they mean.
    later = write_small_dataset(tmp_path / "later")
    Vocabulary(("prime", "odd", "even")).write(later.vocabulary("parity"))
    context = StageContext(schema=SCHEMA, dataset=later, run=RunLayout(tmp_path / "run"), start_from=former, seed=5)
    before = plan_training(replace(context, dataset=small_dataset), stage, encode_dataset(SCHEMA, small_dataset)).model
    model = plan_training(context, stage, encode_dataset(SCHEMA, later)).model
    (old,), (new,) = codes_of(before), codes_of(model)
    np.testing.assert_array_equal(new.centroids, old.centroids)
    candidates = [load_catalogue(dataset, SchemaEncoder(SCHEMA, dataset)) for dataset in (small_dataset, later)]
    first, second = (layer(each.features).numpy() for layer, each in zip((old, new), candidates, strict=True))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first, axis=0)) == 2
    prime = Vocabulary.read(later.vocabulary("parity")).first_token_index
    unheard_of = {"parity": tf.constant([[prime, 0, 0]])}
    np.testing.assert_array_equal(new(unheard_of), [[-1, -1]])


ONLY_IDS = replace(SCHEMA, candidate=(IdFeature(name="item_id"),))
WITH_A_NUMBER = replace(SCHEMA, candidate=(IdFeature(name="item_id"), NumericFeature(name="price")))
IN_BUCKETS = replace(
    WITH_A_NUMBER, candidate=(IdFeature(name="item_id"), NumericFeature(name="price", encoding="buckets"))
)


def test_items_that_say_nothing_are_refused() -> None:
    config = RetrievalConfig(semantic_ids=IDS)
    expected = r"retrieval\.semantic_ids\.levels = 2: expected 0, or a feature beside the id"
    for schema in (ONLY_IDS, WITH_A_NUMBER):
        with pytest.raises(ConfigError, match=expected):
            require_features(config, schema)
    with pytest.raises(ConfigError, match=expected):
        require_features(replace(config, leave_out=("parity",)), SCHEMA)
    require_features(config, IN_BUCKETS)
    require_features(config, SCHEMA)


def test_vectors_of_one_component_are_refused_too(small_dataset: DatasetLayout) -> None:
    schema = replace(SCHEMA, candidate=(IdFeature(name="item_id"), VectorFeature(name="cover", length=1)))
    config = RetrievalConfig(semantic_ids=IDS)
    require_features(config, schema)  # which does not know how values are encoded
    with pytest.raises(
        ConfigError, match=r"retrieval\.semantic_ids\.levels = 2: expected 0, or .* at least two components"
    ):
        make_semantic_codes(config, SchemaEncoder(schema, small_dataset))


@pytest.mark.parametrize(("name", "value"), [("levels", -1), ("levels", 17), ("codes", 1), ("components", 0)])
def test_bad_values_are_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"semantic_ids\.{name} = {value}: expected"):
        SemanticIdsConfig(**{name: value})
