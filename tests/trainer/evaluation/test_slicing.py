import functools
import itertools
import operator

import numpy as np
import pytest

from features.encoding.schema_encoder import SchemaEncoder
from features.errors import ConfigError
from trainer.data.catalogue import load_catalogue
from trainer.data.events import load_events
from trainer.data.raw_catalogue import read_raw_candidates
from trainer.evaluation.slicing import feature_slices


@pytest.fixture(scope="module")
def slices_of(checkerboard):
    dataset = checkerboard.layout.dataset
    encoder = SchemaEncoder(checkerboard.features, dataset)
    rows = load_catalogue(dataset, encoder).rows()
    events = load_events(dataset.interactions("test"), encoder, rows, records="retrieval")
    return lambda *names: feature_slices(names, encoder, dataset, events, events.targets()[:3])


def item_numbers(checkerboard) -> np.ndarray:
    raw = read_raw_candidates(checkerboard.features, checkerboard.layout.dataset)
    return raw["number"].astype(int)


def test_items_are_sliced_by_what_the_catalogue_says(checkerboard, slices_of) -> None:
    items = slices_of("number").items
    assert len(items) == 4
    numbers = item_numbers(checkerboard)
    groups = sorted(sorted(numbers[mask].tolist()) for mask in items.values())
    assert functools.reduce(operator.iadd, groups, []) == sorted(numbers.tolist())
    assert all(low[-1] < high[0] for low, high in itertools.pairwise(groups))


def test_an_item_is_in_the_slice_of_each_of_its_values(checkerboard, slices_of) -> None:
    raw = read_raw_candidates(checkerboard.features, checkerboard.layout.dataset)["remainders"]
    items = slices_of("remainders").items
    assert items
    for name, mask in items.items():
        value = name.removeprefix("remainders: ").encode()
        assert mask.tolist() == [value in values for values in raw]


@pytest.mark.parametrize("name", ["no_such_feature", "title", "user_id"])
def test_other_features_are_refused_and_the_usable_ones_listed(slices_of, name: str) -> None:
    with pytest.raises(ConfigError, match=f"evaluation.slice_by = '{name}': expected one of number, remainders"):
        slices_of(name)
