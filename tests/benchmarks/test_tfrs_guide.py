import numpy as np
import tensorflow as tf
import tfrs_guide as guide


def test_the_guides_model_learns_which_users_take_which_items():
    """User u takes the items of its own parity only; after some epochs these stand above all others for it."""
    tf.keras.utils.set_random_seed(0)
    users, items = (grid.ravel() for grid in np.meshgrid(np.arange(12), np.arange(8), indexing="ij"))
    own = users % 2 == items % 2
    model = guide.compiled_model(12, 8)
    data = guide.batches(np.tile(users[own], 8), np.tile(items[own], 8))
    model.fit(data.repeat(100), verbose=0)
    scores = guide.user_vectors(model, np.arange(12)) @ guide.item_vectors(model, 8).T
    top = np.argsort(-scores, axis=1)[:, :4]
    assert (top % 2 == np.arange(12)[:, None] % 2).all()


def test_vectors_follow_the_rows_that_are_asked_for():
    model = guide.compiled_model(3, 2)
    ours = guide.user_vectors(model, np.array([2, 0, -1, 3]))
    table = model.user_model.layers[-1].embeddings.numpy()
    np.testing.assert_array_equal(ours, table[[3, 1, 0, 0]])
    assert guide.item_vectors(model, 2).shape == (2, 64)
