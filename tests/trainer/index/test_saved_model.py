"""Each kind, saved and loaded by a process that has TensorFlow and ScaNN but not recstack, answers the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from trainer.index import filtering
from trainer.index.attributes import ItemAttributes
from trainer.index.filtered_retriever import Retriever
from trainer.index.recall import search_signature

pytestmark = pytest.mark.slow  # saves and loads an index of every kind

CONSUMER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in FORBIDDEN:
            raise ImportError(f"{name} is not installed here")

FORBIDDEN = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Absent())
import numpy as np
import tensorflow as tf
if "scann" not in FORBIDDEN:
    from scann.scann_ops.py import scann_ops
for directory in sys.argv[2:]:
    inputs = {}
    for name, value in np.load(f"{directory}/inputs.npz", allow_pickle=True).items():
        inputs[name] = tf.constant(value.tolist(), tf.string) if value.dtype == object else tf.constant(value)
    outputs = tf.saved_model.load(directory).signatures["serving_default"](**inputs)
    np.savez(f"{directory}/outputs.npz", **{name: value.numpy() for name, value in outputs.items()})
"""
RECSTACK = "recstack,trainer,serving,beam_pipelines,features"
EVEN = b"\xfeven"
ODD_IDS = ["naïve ☕", "line\nbreak", "tab\t", "nul\0byte", " ", "日本"]


def item_ids(num_items: int) -> list[bytes]:
    odd = [*(item.encode() for item in ODD_IDS), b"\xff\xfe not utf-8"]
    return odd + [f"{row}".encode() for row in range(num_items - len(odd))]


def save(retriever, directory):
    """Saves a retriever under two signatures, as an export does, and returns the function behind the first."""

    def retrieve(queries, k, exclude_item_ids=None, **filters):
        return retriever.retrieve(queries, k, exclude_item_ids, filters)._asdict()

    plain = dict(zip(("queries", "k"), search_signature(retriever.index), strict=True))
    full = plain | {"exclude_item_ids": tf.TensorSpec([None, None], tf.string)} | retriever.filter_specs()
    signatures = {
        "serving_default": tf.function(retrieve, autograph=False).get_concrete_function(**full),
        "plain": tf.function(retrieve, autograph=False).get_concrete_function(**plain),
    }
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(retriever, str(directory), signatures=signatures, options=options)
    return signatures["serving_default"]


def inputs(queries, ids):
    """Asks for items of even rows from 20 on, without those of the first 50 that are even."""
    return {
        "queries": queries,
        "k": np.int32(20),
        "exclude_item_ids": np.array([ids[:50]] * len(queries), object),
        "parity_any_of": np.array([[EVEN, b""]] * len(queries), object),
        "parity_none_of": np.array([[b"odd"]] * len(queries), object),
        "row_min": np.full(len(queries), 20, np.float32),
        "row_max": np.full(len(queries), np.nan, np.float32),
        "allow_item_ids": np.array([[b""]] * len(queries), object),
    }


def attributes(num_items):
    parity = [[EVEN] if row % 2 == 0 else [b"odd"] for row in range(num_items)]
    return ItemAttributes(categorical={"parity": parity}, numeric={"row": np.arange(num_items, dtype=np.float32)})


@pytest.fixture(scope="session")
def saved(case, index_of, queries, tmp_path_factory):
    """Returns the SavedModel's directory, the answer before saving, and the one in another process."""
    directory = tmp_path_factory.mktemp("saved")
    index = index_of(case)
    ids = item_ids(index.num_items)
    given = inputs(queries, ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filtering, "SCAN_BELOW_ITEMS", 0)
        patch.setattr(filtering, "SCANNED_PER_FETCHED", 1)
        served = save(Retriever(index, ids, attributes(index.num_items)), directory)
    np.savez(directory / "inputs.npz", **given)
    forbidden = RECSTACK + (",scann" if case.kind == "exact" else "")
    subprocess.run([sys.executable, "-c", CONSUMER, forbidden, str(directory)], check=True, capture_output=True)
    found = np.load(directory / "outputs.npz", allow_pickle=True)
    return directory, served(**{name: tf.constant(value) for name, value in given.items()}), found


def operations(directory: Path) -> list[tf.compat.v1.NodeDef]:
    model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]


def test_a_process_without_recstack_gets_the_same_answers(saved):
    _, expected, found = saved
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-6)
    assert found["item_ids"].tolist() == expected["item_ids"].numpy().tolist()
    ids = item_ids(500)
    rows = np.array([ids.index(item) for item in found["item_ids"].ravel()])
    assert (rows % 2 == 0).all()
    assert (rows >= 50).all()


def test_the_exact_graph_holds_stock_operations_only(case, saved):
    scann_operations = {node.op for node in operations(saved[0]) if ">" in node.op}
    assert bool(scann_operations) == (case.kind != "exact")


def test_all_signatures_share_one_searcher(case, index_of, saved):
    names = {node.attr["shared_name"].s for node in operations(saved[0]) if node.op == "Scann>TensorsToScann"}
    assert names == (set() if case.kind == "exact" else {index_of(case).searcher_name.encode()})


def test_no_variable_is_switched_to_copying_on_every_read(saved):
    # What gathering straight from a variable does, see `trainer.index.vectors.read_rows`.
    assert not [node.name for node in operations(saved[0]) if node.op == "ResourceGather"]


def test_embeddings_are_saved_once(case, index_of, saved):
    shapes = [shape for _, shape in tf.train.list_variables(str(saved[0] / "variables" / "variables"))]
    assert shapes.count([500, index_of(case).vectors.dim]) == 1
