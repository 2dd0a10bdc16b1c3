"""Vectors as files: what the models answer, in forms that other programs read."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from features.disk.exported import EmbeddingsLayout
from recstack.config import StackConfig
from recstack.stages import export_embeddings
from trainer.export import embeddings
from trainer.restore import Trained
from trainer.retrieval.two_towers import TwoTowers


@pytest.fixture(scope="module")
def written(checkerboard: StackConfig) -> EmbeddingsLayout:
    manifest = export_embeddings(checkerboard).manifest
    assert manifest.counts == {"items": 40, "users": 40}
    return checkerboard.layout.embeddings


def vectors(path: Path) -> tuple[list[str], np.ndarray]:
    table = pq.read_table(path)
    return table["id"].to_pylist(), np.array(table["embedding"].to_pylist(), np.float32)


def test_items_are_the_trainers(written: EmbeddingsLayout, trained: Trained[TwoTowers]) -> None:
    ids, found = vectors(written.table("items"))
    assert ids == [value.decode() for value in trained.candidates.item_ids.numpy()]
    expected = trained.model.embed_candidates(trained.candidates)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.slow
def test_users_are_what_a_request_with_the_id_alone_gives(written: EmbeddingsLayout, exact: Any) -> None:
    ids, found = vectors(written.table("users"))
    assert sorted(ids) == sorted(f"u{n}" for n in range(40))
    rest = {"history": tf.constant([[""]] * 40), "timestamp": tf.zeros(40, tf.int64)}
    expected = exact.signatures["embed_query"](user_id=tf.constant(ids), **rest)["embedding"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_projector_finds_its_files_with_a_label_a_point(written: EmbeddingsLayout) -> None:
    config = text_format.Parse((written.projector / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert {entry.tensor_name for entry in config.embeddings} == {"items", "users"}
    for entry in config.embeddings:
        points = np.loadtxt(written.projector / entry.tensor_path, delimiter="\t")
        labels = (written.projector / entry.metadata_path).read_text().splitlines()
        assert len(points) == len(labels) == 40


def test_the_projector_gets_a_sample_of_many_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "MOST_PROJECTED", 7)
    layout = EmbeddingsLayout(tmp_path)
    matrix = np.arange(60, dtype=np.float32).reshape(30, 2)
    embeddings.write_vectors(layout, "items", [f"i{n}".encode() for n in range(30)], matrix, 0)
    labels = (layout.projector / "items_labels.tsv").read_text().splitlines()
    points = np.loadtxt(layout.projector / "items.tsv", delimiter="\t", dtype=np.float32)
    assert len(set(labels)) == 7
    np.testing.assert_array_equal(points, matrix[[int(label[1:]) for label in labels]])
    assert vectors(layout.table("items"))[0] == [f"i{n}" for n in range(30)]
