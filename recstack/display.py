"""What a person wants to see of users and items: titles and histories, read from a dataset."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.disk.layout import SPLITS, DatasetLayout, Workdir
from features.disk.manifest import read_manifest
from features.disk.shards import shards
from features.protocol.wire import Example
from features.records.tfrecords import read_tfrecords
from features.schema import Schema
from features.spec.base import RawColumn

_RECORDS_A_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class DisplayData:
    """Titles of the items and histories of the users."""

    titles: Mapping[str, str]
    """Item id to its first text feature; empty where the schema has none."""
    histories: Mapping[str, tuple[str, ...]]
    """User id to all item ids the user interacted with, oldest first."""

    def title(self, item_id: str) -> str:
        """The title, or the id where there is none."""
        return self.titles.get(item_id) or item_id


def read_titles(schema: Schema, dataset: DatasetLayout, item_ids: Iterable[str]) -> dict[str, str]:
    """Titles of some items, read without TensorFlow; empty without a dataset or without a text feature of items.

    Raises:
        InputError: The dataset is damaged.
    """
    text = _title_feature(schema)
    wanted = set(item_ids)
    titles: dict[str, str] = {}
    if text is None:
        return {}
    for shard in shards(dataset.candidates):
        for record in read_tfrecords(shard):
            if titles.keys() == wanted:
                return titles
            features = Example.FromString(record).features.feature
            item_id, title = (_only(features[name]) for name in (schema.item_id, text))
            if item_id in wanted:
                titles[item_id] = title
    return titles


def served_catalogue(workdir: Workdir, model: str) -> DatasetLayout | None:
    """The items that the newest version of a model knows, read without TensorFlow.

    That is the dataset, or the catalogue of `export --refresh-index`; none where a later refresh has replaced that.
    """
    layout, catalogue = workdir.model(model), workdir.catalogue
    made_of = None
    if layout.current is not None:
        made_of = read_manifest(layout.manifest(layout.current), "saved_model").inputs.get("catalogue")
    if made_of is None:
        return workdir.dataset
    is_there = catalogue.manifest.is_file() and made_of == read_manifest(catalogue.manifest, "catalogue").fingerprint()
    return catalogue if is_there else None


def unknown_items(schema: Schema, dataset: DatasetLayout, item_ids: Iterable[str]) -> set[str]:
    """Those of some items that are not in the catalogue, read without TensorFlow; none without a dataset.

    Raises:
        InputError: The dataset is damaged.
    """
    unknown = set(item_ids) if dataset.candidates.is_dir() else set()
    for shard in shards(dataset.candidates) if unknown else ():
        for record in read_tfrecords(shard):
            unknown.discard(_only(Example.FromString(record).features.feature[schema.item_id]))
            if not unknown:
                return unknown
    return unknown


def _only(feature: Any) -> str:
    return b"".join(feature.bytes_list.value).decode()


def _title_feature(schema: Schema) -> str | None:
    return next((feature.name for feature in schema.candidate if feature.column == RawColumn(kind="text")), None)


def read_display_data(schema: Schema, dataset: DatasetLayout) -> DisplayData:
    """Reads titles from the candidates and histories from all splits.

    Raises:
        InputError: the dataset is incomplete or damaged.
    """
    from features.records.parse import candidate_parsing_spec, interaction_parsing_spec

    text = _title_feature(schema)
    titles: dict[str, str] = {}
    for batch in _batches(dataset.candidates, candidate_parsing_spec(schema)):
        if text is not None:
            pairs = zip(batch[schema.item_id].numpy(), batch[text].numpy(), strict=True)
            titles |= {item.decode(): title.decode() for item, title in pairs}
    histories: dict[str, tuple[str, ...]] = {}
    # A user's record of a later split holds the earlier events as context.
    for split in SPLITS:
        for batch in _batches(dataset.interactions(split), interaction_parsing_spec(schema, records="retrieval")):
            items = batch[schema.item_id].to_list()
            for user, known in zip(batch[schema.user_id].numpy(), items, strict=True):
                histories[user.decode()] = tuple(item.decode() for item in known)
    return DisplayData(titles=titles, histories=histories)


def _batches(directory: Path, spec: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
    from features.records.parse import read_records, reading

    with reading(directory):
        yield from read_records(directory, spec, _RECORDS_A_BATCH)
