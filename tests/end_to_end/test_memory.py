"""A server that takes over one published version after the other needs no more memory for the hundredth."""

import gc
from pathlib import Path

import numpy as np
import psutil
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from features.disk.exported import ModelLayout
from features.disk.manifest import Manifest
from serving.models.saved_model import load_saved_model
from serving.models.servable import Servable
from trainer.config.index import ScannHashConfig
from trainer.export.publish import StagedVersion, remove_old_versions
from trainer.export.rollback import roll_back
from trainer.export.saving import build_version, publish_version
from trainer.export.signatures import Input, make_signature
from trainer.index.build import build_index
from trainer.index.filtered_retriever import Retriever

NUM_ITEMS, DIM, CYCLES = 20_000, 64, 100
INDEX_BYTES = 4 * NUM_ITEMS * DIM


def publish(layout: ModelLayout) -> None:
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
    built = build_index(vectors, ScannHashConfig(target_recall=0.5), seed=0)
    retriever = Retriever(built.index, [f"i{n}".encode() for n in range(NUM_ITEMS)])
    signature = make_signature(
        lambda given: retriever.retrieve(given["query"], tf.constant(10))._asdict(),
        {"query": Input(spec=tf.TensorSpec([None, DIM], tf.float32))},
    )

    def describe(staged: StagedVersion) -> None:
        Manifest(kind="saved_model", schema_fingerprint="s", inputs={}).write(staged.extra.manifest)

    signatures = {"serving_default": signature}
    publish_version(build_version(layout, "retrieval", signatures, retriever, requests={}, describe=describe))


def answer(servable: Servable) -> None:
    signature = servable.signatures["serving_default"]
    (found, _) = servable.run(signature.feeds, [np.ones((1, DIM), np.float32)], signature.fetches, None)
    assert found.shape == (1, 10)


@pytest.mark.slow
def test_a_hundred_versions_leave_memory_flat(tmp_path: Path) -> None:
    layout = ModelLayout(tmp_path / "retrieval")
    publish(layout)
    publish(layout)
    options = config_pb2.ConfigProto()
    options.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
    resident, serving = [], None
    for _ in range(CYCLES):
        # Each version is the one before the newest again: new files to load at the cost of a few links.
        roll_back(layout, layout.versions()[-2])
        remove_old_versions(layout, keep=2)
        assert layout.current is not None
        new = load_saved_model("retrieval", layout.current, str(layout.version(layout.current)), ["serve"], options)
        answer(new)  # builds the searcher, as warm-up does
        if serving is not None:
            serving.close()
        serving = new
        gc.collect()
        resident.append(psutil.Process().memory_info().rss)
    # The allocator settles in the first cycles. One index a cycle not freed would be 400 MB from there on.
    growth = np.median(resident[-10:]) - np.median(resident[10:20])
    assert growth < 4 * INDEX_BYTES, [round(value / 2**20) for value in resident]
