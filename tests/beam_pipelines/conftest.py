"""Raw tables on disk, a run of `prepare`, and its records read back without TensorFlow (whose import takes long)."""

import gzip
import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from beam_pipelines.config import PipelineConfig, TableSource
from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import SPLITS, DatasetLayout
from features.disk.manifest import Manifest
from features.disk.shards import shards
from features.schema import Schema
from features.spec.categorical import CategoricalFeature
from features.spec.history import HistoryFeature
from features.spec.ids import IdFeature
from features.spec.numeric import NumericFeature

Record = dict[str, list[Any]]
Rows = list[dict[str, Any]]


def _example_class() -> Any:
    """`tf.train.Example` from its published definition."""
    file = descriptor_pb2.FileDescriptorProto(name="example_for_tests.proto", package="t", syntax="proto3")
    field = descriptor_pb2.FieldDescriptorProto
    for name, kind in (
        ("BytesList", field.TYPE_BYTES),
        ("FloatList", field.TYPE_FLOAT),
        ("Int64List", field.TYPE_INT64),
    ):
        message = file.message_type.add(name=name)
        message.field.add(name="value", number=1, label=field.LABEL_REPEATED, type=kind)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes_list", "float_list", "int64_list"), 1):
        kind = ".t." + "".join(part.title() for part in name.split("_"))
        feature.field.add(
            name=name, number=number, label=field.LABEL_OPTIONAL, type=field.TYPE_MESSAGE, type_name=kind, oneof_index=0
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=field.LABEL_OPTIONAL, type=field.TYPE_STRING)
    for name, number, owner, label, kind in (
        ("value", 2, entry, field.LABEL_OPTIONAL, ".t.Feature"),
        ("feature", 1, features, field.LABEL_REPEATED, ".t.Features.FeatureEntry"),
        ("features", 1, file.message_type.add(name="Example"), field.LABEL_OPTIONAL, ".t.Features"),
    ):
        owner.field.add(name=name, number=number, label=label, type=field.TYPE_MESSAGE, type_name=kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


_Example = _example_class()


def _records(data: bytes) -> Iterator[bytes]:
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield data[12 : 12 + length]
        data = data[16 + length :]


def read_records(directory: Path) -> list[Record]:
    """All records below a directory, in the order of the shards; strings decoded."""
    found = []
    for path in shards(directory):
        for data in _records(gzip.decompress(path.read_bytes())):
            features = _Example.FromString(data).features.feature
            found.append({name: _values(feature) for name, feature in features.items()})
    return found


def _values(feature: Any) -> list[Any]:
    kind = feature.WhichOneof("kind")
    values = list(getattr(feature, kind).value) if kind else []
    return [value.decode() for value in values] if kind == "bytes_list" else values


@dataclass(frozen=True)
class Prepared:
    """A finished dataset."""

    manifest: Manifest
    nothing_to_do: bool
    dataset: DatasetLayout

    def retrieval(self) -> dict[str, list[Record]]:
        return {split: read_records(self.dataset.interactions(split)) for split in SPLITS}

    def ranking(self) -> dict[str, list[Record]]:
        return {split: read_records(self.dataset.ranking(split)) for split in SPLITS}

    def candidates(self) -> list[Record]:
        return read_records(self.dataset.candidates)

    def tokens(self, name: str) -> list[str]:
        return self.dataset.vocabulary(name).read_text().splitlines()

    def digests(self) -> dict[str, str]:
        """The SHA-256 of what every file holds but the manifest, which has the time it took.

        Of what is compressed: ISA-L has been seen to compress equal records into other bytes, once in many runs.
        """
        root = self.dataset.root
        files = (path for path in root.rglob("*") if path.is_file() and path != self.dataset.manifest)
        return {path.relative_to(root).as_posix(): hashlib.sha256(_content(path)).hexdigest() for path in files}


def _content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def events_of(record: Record, schema: Schema, *, targets: bool) -> list[tuple[str, str, int]]:
    """(user, item, second) of a record's targets or of its context."""
    [cut] = record["num_context"]
    chosen = slice(cut, None) if targets else slice(cut)
    pairs = zip(record[schema.item_id][chosen], record[schema.timestamp][chosen], strict=True)
    return [(record[schema.user_id][0], item, second) for item, second in pairs]


def write_parquet(path: Path, rows: Rows, types: Mapping[str, pa.DataType] | None = None) -> Path:
    table = pa.Table.from_pylist(rows)
    for name, kind in (types or {}).items():
        table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(kind))
    pq.write_table(table, path)
    return path


def prepare(
    directory: Path,
    schema: Schema,
    *,
    interactions: Rows,
    items: Rows | None = None,
    users: Rows | None = None,
    out: str = "dataset",
    seed: int = 1,
    **settings: Any,
) -> Prepared:
    """Writes the tables as Parquet files into the directory and prepares them, without a report unless asked."""
    sources = {}
    settings.setdefault("report", False)
    for name, rows in (("interactions", interactions), ("items", items), ("users", users)):
        if rows:
            sources[name] = TableSource(path=str(write_parquet(directory / f"{name}.parquet", rows)))
    dataset = DatasetLayout(directory / out)
    result = prepare_dataset(schema, PipelineConfig(**(sources | settings)), dataset, seed=seed)
    return Prepared(result.manifest, result.nothing_to_do, dataset)


@pytest.fixture(scope="session")
def plain_schema() -> Schema:
    """Ids, a history, one numeric and one categorical context feature and one categorical item feature."""
    return Schema(
        query=(
            IdFeature(name="user_id"),
            HistoryFeature(name="history", length=3),
            CategoricalFeature(name="device"),
            NumericFeature(name="price"),
        ),
        candidate=(IdFeature(name="item_id"), CategoricalFeature(name="brand")),
    )


@pytest.fixture(scope="session")
def ids_only() -> Schema:
    """Nothing but ids and a history."""
    return Schema(
        query=(IdFeature(name="user_id"), HistoryFeature(name="history", length=3)),
        candidate=(IdFeature(name="item_id"),),
    )


Prepare = Callable[..., Prepared]
