"""Which results are sure to come: a loop counts where a result needs it, also within functions that functions call."""

import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from serving.config import ServerConfig
from serving.models.graph_termination import always_terminates, unbounded_functions
from serving.models.saved_model import load_saved_model
from serving.models.session import GraphSession, session_options
from tests.serving.conftest import PATIENCE


@tf.function
def halved(x):
    return x / 2


@tf.function
def looping(x):
    return tf.while_loop(lambda v: v < 10.0, lambda v: (v + 1.0,), [x])[0]


@tf.function
def choosing(x):
    return tf.cond(x > 0, lambda: looping(x), lambda: halved(x))


@tf.function
def counting(x):
    return tf.while_loop(lambda v: v < 10.0, lambda v: (v + 1.0,), [x], maximum_iterations=20)[0]


@tf.function
def counting_as_told(x):
    most = tf.cast(x, tf.int32)
    return tf.while_loop(lambda v: v < 10.0, lambda v: (v + 1.0,), [x], maximum_iterations=most)[0]


@tf.function
def counting_to_loop(x):
    return tf.while_loop(lambda v: v < 10.0, lambda v: (looping(v),), [x], maximum_iterations=20)[0]


def test_a_loop_that_counts_to_a_constant_ends():
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [])
        results = [counting(x), counting_as_told(x), counting_to_loop(x)]
    unbounded = unbounded_functions(graph.as_graph_def())
    assert [always_terminates([tensor], unbounded) for tensor in results] == [True, False, False]


def test_only_what_needs_a_loop_may_run_forever():
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [])
        quick, loop, hidden = halved(x) + 1.0, looping(x), choosing(halved(x))
        with tf.control_dependencies([loop]):
            waiting = tf.identity(x)
    unbounded = unbounded_functions(graph.as_graph_def())
    answers = [always_terminates([tensor], unbounded) for tensor in (quick, loop, hidden, waiting)]
    assert answers == [True, False, False, False]
    assert not always_terminates([quick, hidden], unbounded)


def test_a_call_without_a_deadline_prepares_those_with_one(monkeypatch):
    def build(session):
        x = tf.compat.v1.placeholder(tf.float32, [], name="x")
        tf.identity(looping(x), name="y")
        return tf.compat.v1.train.export_meta_graph()

    session = GraphSession(session_options(ServerConfig()), build)
    call = session.prepare(["x:0"], ["y:0"])
    runs = []
    run = call._run_with_timeout
    monkeypatch.setattr(call, "_run_with_timeout", lambda *given: runs.append(given[1]) or run(*given))
    for timeout in (None, 1e12, 5.0):
        assert call([np.float32(0)], timeout)[0] == 10.0
    # TensorFlow prepares a graph once for each path: all three took the same.
    assert runs == [None, 1e12, 5.0]
    session.close()


class Looping(tf.Module):
    """Loops without a bound within choices, as a call to several stages has them."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, x):
        def grown(start):
            return tf.while_loop(lambda v: tf.reduce_min(v) < 50.0, lambda v: (work(v) + 1.0,), [start])[0]

        def work(v):
            return v + 0.0 * tf.reduce_sum(tf.matmul(tf.ones([100, 100]), tf.random.uniform([100, 100])))

        first = tf.cond(tf.reduce_sum(x) < 1e6, lambda: grown(x), lambda: x)
        second = tf.cond(tf.reduce_sum(first) < 1e6, lambda: grown(x - 30.0), lambda: x)
        return {"y": first + second + grown(x - 10.0)}


@pytest.mark.slow
def test_calls_with_deadlines_do_not_wait_for_each_others_loops(tmp_path):
    module = Looping()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.__call__)
    servable = load_saved_model("looping", 1, str(tmp_path / "1"), ["serve"], session_options(ServerConfig()))
    assert servable.may_run_forever
    signature = servable.signatures["serving_default"]
    answers = []

    def call():
        for _ in range(20):
            answers.append(servable.run(signature.feeds, [np.zeros(1, np.float32)], signature.fetches, PATIENCE)[0][0])

    callers = [threading.Thread(target=call, daemon=True) for _ in range(8)]
    for caller in callers:
        caller.start()
    end = time.monotonic() + 5 * PATIENCE
    for caller in callers:
        caller.join(max(0.0, end - time.monotonic()))
    assert answers == [150.0] * 160
    servable.close()


class Counting(tf.Module):
    """A loop with a constant bound, within a choice."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def __call__(self, x):
        def count(v):
            return tf.while_loop(lambda v: v < 1e6, lambda v: (v + 1.0,), [v], maximum_iterations=30_000)[0]

        return {"y": tf.cond(x < 1.0, lambda: count(x), lambda: x)}


def test_a_long_loop_on_the_callers_thread_needs_no_deep_stack(tmp_path):
    module = Counting()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.__call__)
    servable = load_saved_model("counting", 1, str(tmp_path / "1"), ["serve"], session_options(ServerConfig()))
    assert not servable.may_run_forever
    signature = servable.signatures["serving_default"]
    answers = []
    caller = threading.Thread(
        target=lambda: answers.append(servable.run(signature.feeds, [np.float32(0.0)], signature.fetches, None)[0])
    )
    caller.start()
    caller.join(PATIENCE)
    assert answers == [30_000.0]
    servable.close()
