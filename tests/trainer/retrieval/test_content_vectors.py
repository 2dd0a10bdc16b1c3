"""Content vectors beside the TF-IDF weights and vectors that they project."""

import numpy as np
import pytest
import tensorflow as tf

from features.encoding.encoder import Encoded
from tests.trainer.training.test_partitioned import in_parts
from trainer.layers.tables.matched_rows import MatchedRows
from trainer.retrieval.content_vectors import ContentFeature, ContentVectors

NUM_WORDS, LENGTH, ITEMS = 12, 4, 30
NO_FLAG = np.zeros(0, np.float32)
TITLE = ContentFeature(
    encoded=Encoded(form="bag", width=3, num_indices=NUM_WORDS, table="title"), num_special=2, missing=NO_FLAG
)
MAKER = ContentFeature(
    encoded=Encoded(form="single", width=1, num_indices=6, table="maker"), num_special=2, missing=NO_FLAG
)
COVER = ContentFeature(
    encoded=Encoded(form="dense", width=LENGTH + 1, num_indices=0, table="cover"),
    num_special=1,
    missing=np.eye(LENGTH + 1, dtype=np.float32)[LENGTH],
)
PRICE = ContentFeature(
    encoded=Encoded(form="dense", width=2, num_indices=0, table="price"),
    num_special=1,
    missing=np.array([0, 1], np.float32),
)
EVERYTHING = {"title": TITLE, "maker": MAKER, "cover": COVER, "price": PRICE}


def items(seed: int = 0) -> dict[str, tf.Tensor]:
    """Random items; each word of a title occurs once, and the last item has no cover."""
    draw = np.random.default_rng(seed)
    title = np.stack([draw.choice(np.arange(2, NUM_WORDS), 3, replace=False) for _ in range(ITEMS)])
    cover = np.concatenate([draw.normal(size=[ITEMS, LENGTH]) * [1, 5, 1, 1] + 2, np.zeros([ITEMS, 1])], axis=1)
    cover[-1] = COVER.missing
    return {
        "title": tf.constant(title, tf.int32),
        "maker": tf.constant(draw.integers(2, 6, ITEMS), tf.int32),
        "cover": tf.constant(cover, tf.float32),
        "price": tf.constant(draw.normal(size=[ITEMS, 2]), tf.float32),
    }


def fitted(names: list[str], components: int = 64) -> ContentVectors:
    layer = ContentVectors({name: EVERYTHING[name] for name in names}, components)
    layer.fit(items(), seed=0)
    return layer


def weighted(values: np.ndarray, size: int) -> np.ndarray:
    """TF-IDF by hand."""
    counts = np.zeros([ITEMS, size])
    np.put_along_axis(counts, values.reshape(ITEMS, -1), 1.0, axis=1)
    return counts * np.log((1 + ITEMS) / (1 + counts.sum(axis=0)))


def standardised() -> np.ndarray:
    cover = items()["cover"].numpy()[:, :LENGTH]
    known = cover[:-1]
    found = (cover - known.mean(axis=0)) / known.std(axis=0) / LENGTH**0.5
    found[-1] = 0.0
    return found


def cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize("names", [["title"], ["title", "maker"], ["cover"], ["title", "maker", "cover", "price"]])
def test_with_all_components_they_have_the_cosines_of_what_they_project(names: list[str]) -> None:
    encoded = items()
    discrete = [name for name in names if name in ("title", "maker")]
    values = [weighted(encoded[name].numpy(), EVERYTHING[name].encoded.num_indices) for name in discrete]
    blocks = []
    if values:
        words = np.concatenate(values, axis=1)
        blocks.append(words / np.sqrt(np.mean(np.square(words).sum(axis=1))))
    if "cover" in names:
        blocks.append(standardised())
    expected = np.concatenate(blocks, axis=1)
    is_some = np.abs(expected).max(axis=1) > 0
    found = fitted(names)(encoded).numpy()
    np.testing.assert_allclose(cosines(found[is_some]), cosines(expected[is_some]), atol=1e-4)
    np.testing.assert_array_equal(found[~is_some], 0.0)


def test_fewer_components_keep_the_largest_singular_values() -> None:
    words = weighted(items()["title"].numpy(), NUM_WORDS)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    _, _, right = np.linalg.svd(words)
    projected = words @ right[:3].T
    np.testing.assert_allclose(cosines(fitted(["title"], 3)(items()).numpy()), cosines(projected), atol=1e-3)


def test_what_says_nothing_is_zero() -> None:
    layer = fitted(["title", "cover"])
    nothing = {"title": tf.constant([[0, 0, 0], [1, 0, 0], [0, 0, 0]]), "cover": tf.constant([COVER.missing] * 3)}
    nothing["cover"] = tf.tensor_scatter_nd_update(nothing["cover"], [[2]], tf.zeros([1, LENGTH + 1]))
    np.testing.assert_array_equal(layer(nothing), np.zeros([3, 64]))
    lengths = np.linalg.norm(layer(items()), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-5)


def test_words_that_training_has_not_seen_say_nothing() -> None:
    layer = ContentVectors({"title": TITLE}, 8)
    seen = np.minimum(items()["title"].numpy(), NUM_WORDS - 2)
    layer.fit({"title": tf.constant(seen)}, seed=0)
    word = tf.constant([[NUM_WORDS - 1, 0, 0], [5, NUM_WORDS - 1, 0], [5, 0, 0]])
    unheard, both, alone = layer({"title": word}).numpy()
    assert not unheard.any()
    np.testing.assert_allclose(both, alone, atol=1e-6)
    assert alone.any()


def test_a_word_counts_once_however_often_it_is_there() -> None:
    layer = fitted(["title"])
    once, twice = layer({"title": tf.constant([[3, 5, 0], [5, 3, 5]])}).numpy()
    np.testing.assert_allclose(once, twice, atol=1e-6)
    assert once.any()


def test_before_it_is_fitted_and_without_items_every_vector_is_zero() -> None:
    layer = ContentVectors({"title": TITLE, "cover": COVER}, 8)
    assert not layer(items()).numpy().any()
    layer.fit({name: values[:0] for name, values in items().items()}, seed=0)
    assert not layer(items()).numpy().any()


def test_projections_follow_their_values_into_a_new_run() -> None:
    former, layer = fitted(["maker", "cover"]), ContentVectors({"maker": MAKER, "cover": COVER}, 64)
    rows = np.array([0, 1, -1, 3, 2, 5])  # one value is new, and two are in another order
    layer.take_over(former, {"maker": MatchedRows(former=rows, is_grown=True, num_special=2)})
    old, new = former.projections["maker"].numpy(), layer.projections["maker"].numpy()
    np.testing.assert_array_equal(new[3:], old[[3, 2, 5]])
    assert not new[2].any()
    encoded = {"cover": items()["cover"], "maker": tf.zeros([ITEMS], tf.int32)}
    np.testing.assert_array_equal(layer(encoded), former(encoded))


def test_projections_in_parts_on_several_servers_say_the_same() -> None:
    names = ["title", "maker", "cover"]
    expected = fitted(names)(items()).numpy()
    layer = ContentVectors({name: EVERYTHING[name] for name in names}, 64)
    layer.projections = {name: in_parts(projection) for name, projection in layer.projections.items()}
    layer.fit(items(), seed=0)
    np.testing.assert_allclose(layer(items()), expected, atol=1e-6)
    again = ContentVectors({name: EVERYTHING[name] for name in names}, 64)
    again.take_over(layer, {})
    np.testing.assert_allclose(again(items()), expected, atol=1e-6)
