import numpy as np
import pytest
import tensorflow as tf
import tfrs_guide as guide

from tests.checkerboard import liked_by, likings


@pytest.mark.slow
def test_the_guides_model_learns_which_users_take_which_items():
    """On the checkerboard, the items that a user likes stand above all others after some epochs."""
    tf.keras.utils.set_random_seed(0)
    users, items = np.transpose(likings(12, 8))
    model = guide.compiled_model(12, 8)
    data = guide.batches(np.tile(users, 8), np.tile(items, 8))
    model.fit(data.repeat(100), verbose=0)
    scores = guide.user_vectors(model, np.arange(12)) @ guide.item_vectors(model, 8).T
    top = np.argsort(-scores, axis=1)[:, :4]
    assert np.sort(top, axis=1).tolist() == [liked_by(user, 8) for user in range(12)]


def test_vectors_follow_the_rows_that_are_asked_for():
    model = guide.compiled_model(3, 2)
    ours = guide.user_vectors(model, np.array([2, 0, -1, 3]))
    table = model.user_model.layers[-1].embeddings.numpy()
    np.testing.assert_array_equal(ours, table[[3, 1, 0, 0]])
    assert guide.item_vectors(model, 2).shape == (2, 64)
