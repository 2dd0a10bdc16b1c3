"""Each kind, saved and loaded by a process that has TensorFlow and ScaNN but not recstack, answers the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from trainer.index.recall import search_signature
from trainer.index.retrieval import Retriever

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
    inputs = np.load(f"{directory}/inputs.npz", allow_pickle=True)
    model = tf.saved_model.load(directory)
    retrieve = model.signatures["serving_default"]
    outputs = retrieve(queries=tf.constant(inputs["queries"]), k=tf.constant(inputs["k"]),
                       exclude_item_ids=tf.constant(inputs["exclude"].tolist(), tf.string))
    np.savez(f"{directory}/outputs.npz", **{name: value.numpy() for name, value in outputs.items()})
"""
RECSTACK = "recstack,trainer,serving,beam_pipelines,features"
ODD_IDS = ["naïve ☕", "line\nbreak", "tab\t", "nul\0byte", " ", "日本"]


def item_ids(num_items: int) -> list[bytes]:
    odd = [*(item.encode() for item in ODD_IDS), b"\xff\xfe not utf-8"]
    return odd + [f"{row}".encode() for row in range(num_items - len(odd))]


def save(retriever, directory):
    """Saves a retriever under two signatures, as an export does, and returns the answer it gives before saving."""
    signature = search_signature(retriever.index)
    exclusions = tf.TensorSpec([None, None], tf.string, name="exclude_item_ids")
    served = tf.function(
        lambda *inputs: retriever.retrieve(*inputs)._asdict(), input_signature=[*signature, exclusions]
    )
    plain = tf.function(lambda *inputs: retriever.retrieve(*inputs)._asdict(), input_signature=signature)
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    signatures = {"serving_default": served, "plain": plain}
    tf.saved_model.save(retriever, str(directory), signatures=signatures, options=options)
    return served


def consume(directories, forbidden):
    command = [sys.executable, "-c", CONSUMER, forbidden, *directories]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="session")
def saved(indexes, queries, tmp_path_factory):
    """Returns, for each case, its SavedModel's directory, the answer before saving, and the one in another process."""
    directories = {case: tmp_path_factory.mktemp(case.kind) for case in indexes}
    expected = {}
    for case, index in indexes.items():
        ids = item_ids(index.num_items)
        exclude = np.array([ids[:50]] * len(queries), object)
        served = save(Retriever(index, ids), directories[case])
        expected[case] = served(queries, tf.constant(20), tf.constant(exclude))
        np.savez(directories[case] / "inputs.npz", queries=queries, k=np.int32(20), exclude=exclude)
    stock = [str(directory) for case, directory in directories.items() if case.kind == "exact"]
    scann = [str(directory) for case, directory in directories.items() if case.kind != "exact"]
    consumers = [consume(stock, f"{RECSTACK},scann"), consume(scann, RECSTACK)]
    for consumer in consumers:
        errors = consumer.communicate(timeout=120)[1]
        assert consumer.returncode == 0, errors
    found = {case: np.load(path / "outputs.npz", allow_pickle=True) for case, path in directories.items()}
    return {case: (directories[case], expected[case], found[case]) for case in indexes}


def operations(directory: Path) -> list[tf.compat.v1.NodeDef]:
    model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    graph = model.meta_graphs[0].graph_def
    return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]


def test_a_process_without_recstack_gets_the_same_answers(case, saved):
    _, expected, found = saved[case]
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-6)
    assert found["item_ids"].tolist() == expected["item_ids"].numpy().tolist()
    assert not {item.encode() for item in ODD_IDS} & set(found["item_ids"].ravel())


def test_the_exact_graph_holds_stock_operations_only(case, saved):
    scann_operations = {node.op for node in operations(saved[case][0]) if ">" in node.op}
    assert bool(scann_operations) == (case.kind != "exact")


def test_all_signatures_share_one_searcher(case, index, saved):
    names = {node.attr["shared_name"].s for node in operations(saved[case][0]) if node.op == "Scann>TensorsToScann"}
    assert names == (set() if case.kind == "exact" else {index.searcher_name.encode()})


def test_embeddings_are_saved_once(case, index, saved):
    shapes = [shape for _, shape in tf.train.list_variables(str(saved[case][0] / "variables" / "variables"))]
    assert shapes.count([index.num_items, index.vectors.dim]) == 1
