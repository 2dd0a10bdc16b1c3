"""The encoder of the small schema that all tests share."""

import pytest

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.schema import Schema


@pytest.fixture(scope="session")
def encoder(schema: Schema, learnt: DatasetLayout) -> SchemaEncoder:
    return SchemaEncoder(schema, learnt)
