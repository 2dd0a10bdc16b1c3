"""Optional inputs, as a server sees them: in the SignatureDef and in the graph."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer.export.signatures import Input, make_signature


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module = tf.Module()
    module.offset = tf.Variable([1.0, 2.0])
    function = make_signature(
        lambda given: {"sum": given["a"] + given["b"] + module.offset[0], "k": tf.identity(given["k"])},
        {
            "b": Input(spec=tf.TensorSpec([None], tf.float32), default=tf.constant([10.0])),
            "a": Input(spec=tf.TensorSpec([None], tf.float32)),
            "k": Input(spec=tf.TensorSpec([], tf.int32), default=tf.constant(5)),
        },
    )
    path = tmp_path_factory.mktemp("saved") / "model"
    tf.saved_model.save(module, str(path), signatures={"serving_default": function})
    return path


def test_signature_def_holds_the_defaults_of_optional_inputs_only(saved: Path) -> None:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(saved))
    defaults = graph.signature_def["serving_default"].defaults
    assert {name: tf.make_ndarray(value).tolist() for name, value in defaults.items()} == {"b": [10.0], "k": 5}


def test_inputs_left_out_take_their_defaults(saved: Path) -> None:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(saved))
        signature = graph.signature_def["serving_default"]
        outputs = {name: info.name for name, info in signature.outputs.items()}
        short = session.run(outputs, {signature.inputs["a"].name: [1.0, 2.0]})
        full = session.run(
            outputs,
            {signature.inputs["a"].name: [1.0], signature.inputs["b"].name: [3.0], signature.inputs["k"].name: 7},
        )
    np.testing.assert_allclose(short["sum"], [12.0, 13.0])
    assert (short["k"], full["k"]) == (5, 7)
    np.testing.assert_allclose(full["sum"], [5.0])
