"""Models whose embeddings are stored in fewer rows: trained, restored, exported and started from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import DatasetLayout, RunLayout
from features.errors import InputError
from features.serialization import structure
from recstack.config import StackConfig
from recstack.stages import export, prepare, stage_context, train
from tests.checkerboard import NUM_ITEMS, NUM_USERS, item, title, write_checkerboard
from tests.trainer.small_dataset import SCHEMA
from tests.trainer.small_training import train_and_restore
from tests.trainer.test_warm_start import users, write_users
from trainer.config.ranking import RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.config.tables import HashedConfig, QuotientRemainderConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.ranking.stage import RankingStage
from trainer.restore import restore
from trainer.retrieval.model import TwoTowerModel
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import plan_training, train_stage
from trainer.training.stage import StageContext

_FORMER = {"dimension": 8, "batch_size": 8, "epochs": 1}
HASHED = {"kind": "hashed", "rows": 5}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("item_kind", "initialisation"),
    [
        ({"kind": "multi_hash", "rows": 6}, "svd"),
        ({"kind": "quotient_remainder", "rows": 4, "operation": "product"}, "random"),
        ({"kind": "frequency", "min_events": 6, "shared_rows": 3}, "svd"),
        ({"kind": "mixed", "min_events": 6, "width": 2}, "random"),
    ],
)
def test_is_restored_as_it_was_trained(small_dataset: DatasetLayout, tmp_path: Path, item_kind, initialisation):
    table = {
        "embedding": {"item_id": item_kind, "user_id": HASHED, "parity": HASHED},
        "initialisation": initialisation,
        "id_dropout": 0.2,
    }
    trained = train_and_restore(small_dataset, tmp_path, table)
    vectors = trained.model.embed_candidates(trained.candidates).numpy()
    assert np.isfinite(vectors).all()
    again = train_and_restore(small_dataset, tmp_path, table)  # nothing to train: the weights of the run
    np.testing.assert_array_equal(again.model.embed_candidates(again.candidates), vectors)


@pytest.mark.slow
def test_ranking_trains_on_fewer_rows(small_dataset: DatasetLayout, tmp_path: Path):
    tables = {"embedding": {"item_id": {"kind": "frequency", "min_events": 6, "shared_rows": 3}, "user_id": HASHED}}
    stage = RankingStage(config=structure({"epochs": 1, "dimension": 4} | tables, RankingConfig))
    context = StageContext(schema=SCHEMA, dataset=small_dataset, run=RunLayout(tmp_path))
    train_stage(context, stage)
    model = restore(context, stage).model
    assert model.members[0].vectors["user_id"].table.table.shape == (2 + 5, 4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    stack = write_checkerboard(tmp_path_factory.mktemp("compressed"))
    tables = {"item_id": QuotientRemainderConfig(rows=7), "user_id": HashedConfig(rows=11)}
    retrieval = replace(stack.retrieval, dimension=6, epochs=3, embedding=tables)
    stack = replace(stack, retrieval=retrieval, export=replace(stack.export, models=("retrieval_exact",)))
    prepare(stack)
    train(stack, "retrieval")
    export(stack)
    return stack


@pytest.mark.slow
def test_the_saved_model_serves_the_vectors_of_the_training_from_small_tables(exported: StackConfig):
    trained = restore(stage_context(exported), RetrievalStage(config=exported.retrieval))
    numbers = range(NUM_ITEMS)
    raw = {
        "item_id": tf.constant([item(n) for n in numbers]),
        "title": tf.constant([title(n) for n in numbers]),
        "number": tf.constant([*numbers], tf.float32),
        "remainders": tf.constant([[f"three{n % 3}", f"five{n % 5}"] for n in numbers]),
    }
    version = exported.layout.model("retrieval_exact").version(1)
    loaded = tf.saved_model.load(str(version))
    served = loaded.signatures["embed_item"](**raw)["embedding"]
    expected = trained.model.candidate_tower(trained.encoder.encode_candidate(raw))
    np.testing.assert_allclose(served, expected, rtol=1e-5, atol=1e-6)
    shapes = [tuple(shape) for _, shape in tf.train.list_variables(str(version / "variables" / "variables"))]
    special = 2
    assert {(special + 7, 6), (special + 6, 6), (special + 11, 6)} <= set(shapes)  # 40 items are 6 quotients of 7
    assert (special + NUM_USERS, 6) not in shapes


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return {"user_id": {"kind": "quotient_remainder", "rows": 4}, "item_id": HASHED}


@pytest.fixture(scope="module")
def former(small_dataset: DatasetLayout, tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    root = tmp_path_factory.mktemp("runs") / "former"
    train_and_restore(small_dataset, root, _FORMER | {"embedding": tables})
    return RunLayout(root)


class TestWarmStart:
    def start(self, table: dict[str, Any], dataset: DatasetLayout, folder: Path, former: RunLayout) -> TwoTowerModel:
        stage = RetrievalStage(config=structure(_FORMER | {"embedding": table}, RetrievalConfig))
        context = StageContext(schema=SCHEMA, dataset=dataset, run=RunLayout(folder), start_from=former)
        return plan_training(context, stage, encode_dataset(SCHEMA, dataset)).model

    @pytest.mark.slow
    def test_former_users_keep_their_vectors(self, small_dataset, tables, former, tmp_path):
        longer = write_users(small_dataset, tmp_path / "longer", (*users(small_dataset), *map(str, range(9))))
        model = self.start(tables, longer, tmp_path / "run", former)
        old = train_and_restore(small_dataset, former.root, _FORMER | {"embedding": tables}).model
        of_users = [
            towers.pairs[0].query.features.by_name["user_id"].table.all_vectors().numpy()
            for towers in (old, model.towers)
        ]
        assert len(of_users[1]) == len(of_users[0]) + 9
        np.testing.assert_array_equal(of_users[1][: len(of_users[0])], of_users[0])

    @pytest.mark.slow
    def test_other_rows_are_refused(self, small_dataset, tables, former, tmp_path):
        for kind in ("multi_hash", "frequency"):
            with pytest.raises(InputError, match="stores the embeddings of 'item_id' in another way"):
                self.start(tables | {"item_id": {"kind": kind}}, small_dataset, tmp_path, former)

    @pytest.mark.slow
    def test_rows_that_newer_data_would_move_are_refused(self, small_dataset, tmp_path):
        tables = {"item_id": {"kind": "frequency", "min_events": 6}}
        train_and_restore(small_dataset, tmp_path / "former", _FORMER | {"embedding": tables})
        with pytest.raises(InputError, match=r"rows of retrieval.embedding.item_id, of kind 'frequency'"):
            self.start(tables, small_dataset, tmp_path / "run", RunLayout(tmp_path / "former"))
