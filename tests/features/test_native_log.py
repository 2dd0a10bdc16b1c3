"""The native libraries' notices, in a process of its own: the level cannot be set back."""

import subprocess
import sys

import pytest

# Running a graph of TensorFlow 1 makes TensorFlow say that an optimisation pass is off.
RUN = """
import tensorflow as tf
{}
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    session.run(tf.constant(1) + 2)
"""
SILENCE = "from features.native_log import silence_native_notices as f; f()"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "notices"), [("pass", True), (SILENCE, False)])
def test_notices_are_dropped(first, notices):
    ended = subprocess.run([sys.executable, "-c", RUN.format(first)], capture_output=True, text=True, check=True)
    assert ("mlir_graph_optimization_pass" in ended.stderr) == notices
