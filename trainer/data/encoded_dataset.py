"""What every model of a dataset is made from: its encoder, its catalogue and the events of its splits."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from features.records.contents import RecordKind
from features.schema import Schema
from trainer.data.catalogue import EncodedCatalogue, load_catalogue
from trainer.data.events import EncodedEvents, event_blocks, load_events


@dataclass(frozen=True, kw_only=True)
class EncodedDataset:
    """The parts of a dataset that do not depend on a split."""

    encoder: SchemaEncoder
    """Raw features to encoded ones."""
    candidates: EncodedCatalogue
    """The catalogue."""

    def events(self, directory: Path, *, records: RecordKind) -> EncodedEvents:
        """The events of a split; arguments and errors are those of `load_events`."""
        return load_events(directory, self.encoder, self.candidates.rows(), records=records)

    def blocks(self, directory: Path, *, records: RecordKind) -> Iterator[EncodedEvents]:
        """The events of a split, a few thousand records at a time; arguments and errors are those of `load_events`."""
        return event_blocks(directory, self.encoder, self.candidates.rows(), records=records)


@dataclass(frozen=True, kw_only=True)
class SharedDataset(EncodedDataset):
    """A dataset for several trainings in one process: each split is read and encoded once, and stays in memory."""

    _read: dict[tuple[Path, RecordKind], EncodedEvents] = field(default_factory=dict, init=False, repr=False)

    def events(self, directory: Path, *, records: RecordKind) -> EncodedEvents:
        """The events of a split, read when they are first asked for."""
        key = (directory, records)
        if key not in self._read:
            self._read[key] = super().events(directory, records=records)
        return self._read[key]


def encode_dataset(schema: Schema, layout: DatasetLayout) -> EncodedDataset:
    """Reads vocabularies and statistics, and the catalogue with them.

    Raises:
        InputError: a file is missing or damaged, or the catalogue is empty.
    """
    encoder = SchemaEncoder(schema, layout)
    return EncodedDataset(encoder=encoder, candidates=load_catalogue(layout, encoder))
