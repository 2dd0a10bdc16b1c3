"""What every model of a dataset is made from: its encoder and its catalogue."""

from dataclasses import dataclass

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.schema import Schema
from trainer.data.catalogue import EncodedCatalogue, load_catalogue


@dataclass(frozen=True, kw_only=True)
class EncodedDataset:
    """The parts of a dataset that do not depend on a split."""

    encoder: SchemaEncoder
    """Raw features to encoded ones."""
    candidates: EncodedCatalogue
    """The catalogue."""


def encode_dataset(schema: Schema, layout: DatasetLayout) -> EncodedDataset:
    """Reads vocabularies and statistics, and the catalogue with them.

    Raises:
        InputError: a file is missing or damaged, or the catalogue is empty.
    """
    encoder = SchemaEncoder(schema, layout)
    return EncodedDataset(encoder=encoder, candidates=load_catalogue(layout, encoder))
