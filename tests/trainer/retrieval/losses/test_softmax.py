import numpy as np
import tensorflow as tf

from trainer.retrieval.losses.softmax import log_sum_exp_of_products, softmax_loss
from trainer.retrieval.pairs import PairBonus, bonus_among, positives_among


def reference(queries, items, log_weights, hits, added=None):
    logits = tf.matmul(queries, items, transpose_b=True) + log_weights
    if added is not None:
        logits += tf.scatter_nd(added.places, added.logits, tf.shape(logits, tf.int32))
    mask = tf.scatter_nd(hits, tf.ones(len(hits)), tf.shape(logits, tf.int32))
    return tf.reduce_logsumexp(tf.where(mask > 0, -np.inf, logits), axis=1)


def test_log_sum_exp_and_its_gradient_equal_tensorflows():
    generator = np.random.default_rng(0)
    queries, items = (tf.constant(generator.normal(size=(n, 3)), tf.float32) for n in (5, 7))
    log_weights = tf.constant(generator.normal(size=7), tf.float32)
    hits = tf.constant([[0, 1], [0, 6], [3, 2]])
    upstream = tf.constant(generator.normal(size=5), tf.float32)
    results = []
    for function in (log_sum_exp_of_products, reference):
        with tf.GradientTape() as tape:
            tape.watch([queries, items])
            value = function(queries, items, log_weights, hits)
            total = tf.reduce_sum(upstream * value)
        results.append((value, *tape.gradient(total, [queries, items])))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_what_is_added_to_pairs_counts_and_has_a_gradient():
    generator = np.random.default_rng(1)
    queries, items = (tf.constant(generator.normal(size=(n, 3)), tf.float32) for n in (5, 7))
    hits, places = tf.constant([[0, 1]]), tf.constant([[0, 1], [0, 2], [4, 6]])
    logits = tf.constant([3.0, 2.0, 90.0])
    results = []
    for function in (log_sum_exp_of_products, reference):
        with tf.GradientTape() as tape:
            tape.watch([queries, items, logits])
            value = function(queries, items, tf.zeros(7), hits, PairBonus(places, logits))
            total = tf.reduce_sum(tf.range(1.0, 6.0) * value)
        results.append((value, *tape.gradient(total, [queries, items, logits])))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert results[0][3].numpy()[0] == 0.0  # of a pair that is left out


def test_keeps_what_is_added_to_the_negatives_alone():
    added = bonus_among(
        tf.constant([1, 4, 6]), tf.constant([0, 0, 1]), tf.constant([4, 5, 1]), tf.constant([7.0, 8, 9])
    )
    assert added.places.numpy().tolist() == [[0, 1], [1, 0]]
    assert added.logits.numpy().tolist() == [7.0, 9.0]


def test_large_scores_stay_finite():
    queries, items = tf.constant([[1e3], [-1e3]]), tf.constant([[1.0], [0.5]])
    value = log_sum_exp_of_products(queries, items, tf.zeros(2), tf.zeros([0, 2], tf.int32))
    np.testing.assert_allclose(value, [1000.0, -500.0])


def test_query_without_any_negative_has_loss_and_gradient_zero():
    queries, items = tf.constant([[1.0, 2.0]]), tf.constant([[3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(queries)
        value = log_sum_exp_of_products(queries, items, tf.zeros(1), tf.constant([[0, 0]]))
        loss = softmax_loss(tf.constant([11.0]), value)
    np.testing.assert_allclose(loss, [0.0], atol=1e-12)
    np.testing.assert_array_equal(tape.gradient(loss, queries), [[0.0, 0.0]])


def test_loss_is_minus_log_of_the_positives_share():
    loss = softmax_loss(tf.constant([1.0]), tf.constant([float(np.log(np.exp(0.5) + np.exp(2.0)))]))
    np.testing.assert_allclose(loss, [-np.log(np.exp(1) / (np.exp(1) + np.exp(0.5) + np.exp(2)))], rtol=1e-6)


def test_finds_the_positives_of_each_query():
    hits = positives_among(tf.constant([1, 4, 6]), tf.constant([0, 0, 1, 2]), tf.constant([4, 5, 1, 9]))
    assert hits.numpy().tolist() == [[0, 1], [1, 0]]
