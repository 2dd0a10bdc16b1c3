"""Items that nobody has chosen yet share the codes of their group, from training to a refreshed index.

The tables are those of `test_cold_items`: six groups of users and of items, two items of each without events.
"""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from recstack.config import StackConfig, parse_config
from recstack.stages import evaluate, export, prepare, stage_context, train
from tests.end_to_end.test_cold_items import (
    _CONFIG,
    GROUPS,
    LENGTH,
    STRANGER,
    cold_recall,
    items_of,
    retrieve,
    write_items,
    write_tables,
)
from tests.trainer.export.loading import load
from trainer.config.semantic_ids import SemanticIdsConfig
from trainer.restore import Trained, restore
from trainer.retrieval.semantic_ids import codes_of
from trainer.retrieval.stage import RetrievalStage
from trainer.retrieval.two_towers import TwoTowers

FRESH = [0.0, 7.0, *[0.0] * (LENGTH - 2)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    folder = tmp_path_factory.mktemp("codes")
    write_tables(folder)
    stack = parse_config(_CONFIG.format(folder=folder, length=LENGTH))
    ids = SemanticIdsConfig(levels=1, codes=GROUPS, components=LENGTH)
    stack = replace(stack, retrieval=replace(stack.retrieval, semantic_ids=ids, content_weight=0.1))
    prepare(stack)
    train(stack, "retrieval")
    evaluate(stack, "retrieval")
    export(stack)
    return stack


def trained(stack: StackConfig) -> Trained[TwoTowers]:
    return restore(stage_context(stack), RetrievalStage(config=stack.retrieval))


@pytest.mark.slow
def test_a_cold_item_has_the_code_of_its_group(stack: StackConfig) -> None:
    model = trained(stack)
    (layer,) = codes_of(model.model)
    codes = layer(model.candidates.features).numpy()[:, 0].tolist()
    code_of = dict(zip((item.decode() for item in model.candidates.item_ids.numpy()), codes, strict=True))
    groups = [{code_of[item] for item in items_of(group)} for group in range(GROUPS)]
    assert all(len(codes) == 1 for codes in groups)
    assert len(set.union(*groups)) == GROUPS


@pytest.mark.slow
def test_cold_items_are_found(stack: StackConfig) -> None:
    result = json.loads(stack.layout.current_run.stage("retrieval").metrics.read_text())
    assert cold_recall(result["model"])["low"] > 0.9


@pytest.mark.slow
def test_the_saved_model_embeds_known_and_new_items_as_the_trainer_does(stack: StackConfig) -> None:
    folder = stack.workdir.parent
    write_items(folder, ("fresh", FRESH), ("without a cover", []))
    (published,) = export(stack, refresh_index=True)
    assert published.version == 2
    model = trained(stack)
    table = pq.read_table(folder / "items.parquet").to_pylist()
    ids, covers = [row["item_id"] for row in table], [row["cover"] or [float("nan")] * LENGTH for row in table]
    found = load(stack, "retrieval_exact").signatures["embed_item"](
        item_id=tf.constant(ids), cover=tf.constant(covers, tf.float32)
    )
    raw = {"item_id": tf.constant(ids), "cover": tf.constant(covers, tf.float32)}
    encoded = model.encoder.encode_candidate(raw)
    np.testing.assert_allclose(found["embedding"], model.model.candidate_tower(encoded), rtol=1e-5, atol=1e-6)
    (layer,) = codes_of(model.model)
    codes = dict(zip(ids, layer(encoded).numpy()[:, 0].tolist(), strict=True))
    assert codes["fresh"] == codes["1-0"]
    assert codes["without a cover"] == -1
    nothing = [float("nan")] * LENGTH
    assert "fresh" in retrieve(stack, STRANGER, items_of(1)[:5], nothing)
    assert "fresh" not in retrieve(stack, STRANGER, items_of(2)[:5], nothing)
