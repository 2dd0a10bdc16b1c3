"""The catalogue as it was given: raw values, for what does not learn (filters, texts)."""

from typing import Any, TypeAlias

import numpy as np

from features.disk.layout import DatasetLayout
from features.records.parse import candidate_parsing_spec, read_records, reading
from features.schema import Schema

Column: TypeAlias = Any
_RECORDS_A_BATCH = 8192


def read_raw_candidates(schema: Schema, dataset: DatasetLayout) -> dict[str, Column]:
    """Raw candidate features by name, in the order of the catalogue.

    A value is bytes, a float32, or for list features a list of bytes. Vectors are left out: they are what learns.

    Raises:
        InputError: a shard is missing or damaged.
    """
    with reading(dataset.candidates):
        spec = candidate_parsing_spec(schema)
        wanted = [feature for feature in schema.candidate if feature.fixed_length is None]
        records = read_records(
            dataset.candidates, {feature.name: spec[feature.name] for feature in wanted}, _RECORDS_A_BATCH
        )
        batches = list(records)
    columns: dict[str, Column] = {}
    for feature in wanted:
        values = [batch[feature.name] for batch in batches]
        if feature.is_list:
            columns[feature.name] = [row for batch in values for row in batch.to_list()]
        else:
            columns[feature.name] = np.concatenate([batch.numpy() for batch in values])
    return columns
