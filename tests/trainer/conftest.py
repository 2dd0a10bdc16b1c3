"""The checkerboard as a small dataset directory."""

from pathlib import Path

import pytest

from features.disk.layout import DatasetLayout
from features.schema import Schema
from tests.trainer.small_dataset import SCHEMA, write_small_dataset


@pytest.fixture(scope="session")
def small_schema() -> Schema:
    return SCHEMA


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetLayout:
    root: Path = tmp_path_factory.mktemp("small")
    return write_small_dataset(root)
