"""A feature kind from outside the package goes through every stage: what it costs is a spec, an encoder and one line.

The kind is the length of a string, once of the query's device and once of the item's title.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import tensorflow as tf

from features.disk.layout import ModelName
from features.encoding.encoder import Encoded, FeatureEncoder
from features.encoding.schema_encoder import SchemaEncoder
from features.errors import ConfigError
from features.spec.base import ColumnFeature, RawColumn
from features.spec.kinds import FEATURE_KINDS
from recstack import stages
from recstack.config import StackConfig, parse_config

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class LengthFeature(ColumnFeature):
    """The number of bytes of a string."""

    longest: int = 20
    """Longer strings count as this long."""

    filter_by: ClassVar[Literal["values"]] = "values"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require("longest", self.longest >= 1, "at least 1")

    @property
    def column(self) -> RawColumn:
        return RawColumn(kind="token")


class LengthEncoder(FeatureEncoder[LengthFeature]):
    """Strings to their lengths."""

    @property
    def encoded(self) -> Encoded:
        return Encoded(form="single", width=1, num_indices=1 + self.feature.longest, table=self.feature.name)

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        return tf.minimum(tf.strings.length(values), self.feature.longest)


_CONFIG = """
workdir = "{folder}/work"

[[features.query]]
kind = "history"

[[features.query]]
kind = "length"
name = "device"
longest = 4

[[features.candidate]]
kind = "id"
name = "item_id"

[[features.candidate]]
kind = "length"
name = "title"

[pipeline.interactions]
path = "{folder}/interactions.csv"

[pipeline.items]
path = "{folder}/items.csv"

[pipeline.split]
kind = "per_user_fraction"

[retrieval]
dimension = 4
batch_size = 1024
epochs = 1
examples = "event"

[ranking]
dimension = 4
batch_size = 1024
epochs = 1

[export]
retrieval_k = 3
recommender_candidates = 5
recommender_limit = 3
"""

NUM_USERS, NUM_ITEMS = 12, 10


@pytest.fixture(scope="module")
def length_kind() -> Iterator[None]:
    with FEATURE_KINDS.registered("length", LengthFeature, LengthEncoder):
        yield


@pytest.fixture(scope="module")
def stack(length_kind: None, tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """Prepared, trained for one step a model, and exported."""
    folder = tmp_path_factory.mktemp("length")
    events = [
        (f"u{user}", f"i{item}", 1_700_000_000 + 3600 * item, "tv" if user % 2 else "phone")
        for user in range(NUM_USERS)
        for item in range(NUM_ITEMS)
    ]
    _write(folder / "interactions.csv", ("user_id", "item_id", "timestamp", "device"), events)
    _write(folder / "items.csv", ("item_id", "title"), [(f"i{item}", "x" * (item + 1)) for item in range(NUM_ITEMS)])
    stack = parse_config(_CONFIG.format(folder=folder))
    stages.prepare(stack)
    for name in stack.stage_names:
        stages.train(stack, name)
    stages.export(stack)
    return stack


def _write(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_its_options_are_checked_and_unknown_ones_listed(length_kind: None) -> None:
    config = _CONFIG.format(folder="/tmp")
    with pytest.raises(ConfigError, match=r"features\.query\[1\]\.long = 4: .*longest"):
        parse_config(config.replace("longest = 4", "long = 4"))
    with pytest.raises(ConfigError, match=r"features\.device\.longest = 0: expected at least 1"):
        parse_config(config.replace("longest = 4", "longest = 0"))


def test_it_encodes_what_was_prepared(stack: StackConfig) -> None:
    encoder = SchemaEncoder(stack.features, stack.layout.dataset)
    device, title = stack.features.query[1], stack.features.candidate[1]
    assert encoder.encode(device, tf.constant(["tv", "phone", ""])).numpy().tolist() == [2, 4, 0]
    assert encoder.encode(title, tf.constant(["abc"])).numpy().tolist() == [3]
    assert encoder.encoded(device).num_indices == 5


def test_saved_models_take_its_raw_values(stack: StackConfig) -> None:
    embed = _signature(stack, "retrieval", "embed_item")
    titles = tf.constant(["ab", "cd", "abcde"])
    same, same_length, other = embed(item_id=tf.constant(["i0"] * 3), title=titles)["embedding"].numpy()
    np.testing.assert_array_equal(same, same_length)
    assert (same != other).any()  # the step moved the lengths of the catalogue, each in its own way
    rank = _signature(stack, "ranking", "serving_default")
    items = tf.constant([["i0", "i1"]] * 2)
    answer = rank(history=tf.constant([[""]] * 2), device=tf.constant(["tv", "phone"]), item_ids=items)
    for predictions in answer.values():
        assert (predictions[0] != predictions[1]).numpy().all()


def test_requests_filter_items_by_it(stack: StackConfig) -> None:
    retrieve = _signature(stack, "retrieval", "retrieve")
    nothing = tf.constant([[""]])
    restrictions = dict.fromkeys(("exclude_item_ids", "allow_item_ids", "title_none_of"), nothing)
    wanted = tf.constant([["xxx", "xxxx"]])
    query = {"history": nothing, "device": tf.constant(["tv"])}
    found = retrieve(**query, **restrictions, title_any_of=wanted, k=tf.constant(2))["item_ids"]
    assert sorted(found.numpy()[0]) == [b"i2", b"i3"]


def _signature(stack: StackConfig, model: ModelName, name: str) -> Any:
    return tf.saved_model.load(str(stack.layout.model(model).version(1))).signatures[name]
