"""Vocabularies of the training data, which grow from those of the dataset that was there before."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.passes.catalogue import Catalogue, item_value_counts
from features.disk.files import make_directory
from features.disk.layout import DatasetLayout
from features.encoding.vocabulary import Vocabulary
from features.schema import Schema


def write_vocabularies(
    schema: Schema, seen: Mapping[str, pa.Table], catalogue: Catalogue, former: DatasetLayout, target: DatasetLayout
) -> dict[str, Vocabulary]:
    """Vocabularies of the training data, appended to those of the dataset that was here before."""
    make_directory(target.vocabulary("any").parent)
    items = item_value_counts(schema, catalogue)
    vocabularies = {}
    for name, options in schema.vocabularies.items():
        counts = items[name] if name in items else _training_counts(seen.get(name))
        start = Vocabulary((), options.oov_buckets)
        if former.manifest.exists() and former.vocabulary(name).exists():
            start = Vocabulary.read(former.vocabulary(name), options.oov_buckets)
        vocabularies[name] = start.grow(counts, options.min_count)
        vocabularies[name].write(target.vocabulary(name))
    return vocabularies


def _training_counts(counts: pa.Table | None) -> dict[str, int]:
    if counts is None:
        return {}
    trained = counts.filter(pc.greater(counts.column("events"), 0))
    return dict(zip(trained.column("value").to_pylist(), trained.column("events").to_pylist(), strict=True))
