"""A source from outside the package costs one module, one line and one test."""

from pathlib import Path

import pytest

from beam_pipelines.config import PipelineConfig, TableSource
from beam_pipelines.config.source_kinds import SOURCE_KINDS, SourceKind, registered_source
from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import DatasetLayout
from features.errors import ConfigError
from features.schema import Schema
from features.serialization import structure
from tests.beam_pipelines.conftest import Prepared, events_of, prepare

FIXED_WIDTH = SourceKind(module="tests.beam_pipelines.sources.fixed_width", endings=(".fixed",))
EVENTS = [
    {"user_id": f"{user:03}", "item_id": f"{item:03}", "timestamp": 1_700_000_000 + item}
    for user in range(4)
    for item in range(4)
]


def prepared_from(directory: Path, schema: Schema, *, ending: str, format: str) -> Prepared:
    path = directory / f"log{ending}"
    path.write_text("".join(f"{row['user_id']}{row['item_id']}{row['timestamp']}\n" for row in EVENTS))
    source = {"interactions": {"path": str(path), "format": format}, "report": False}
    dataset = DatasetLayout(directory / "dataset")
    result = prepare_dataset(schema, structure(source, PipelineConfig, "pipeline"), dataset, seed=0)
    return Prepared(result.manifest, result.nothing_to_do, dataset)


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "format"), [(".fixed", "auto"), (".fixed.gz.txt", "fixed")])
def test_a_format_of_ones_own_is_prepared_like_any_other(
    tmp_path: Path, ids_only: Schema, ending: str, format: str
) -> None:
    with registered_source("fixed", FIXED_WIDTH):
        found = prepared_from(tmp_path, ids_only, ending=ending, format=format)
    folder = tmp_path / "parquet"
    folder.mkdir()
    expected = prepare(folder, ids_only, interactions=EVENTS)
    for split, records in expected.retrieval().items():
        told = [event for record in found.retrieval()[split] for event in events_of(record, ids_only, targets=True)]
        assert told == [event for record in records for event in events_of(record, ids_only, targets=True)]
    assert found.manifest.counts["interactions_read"] == len(EVENTS)


def test_outside_of_its_registration_the_format_is_unknown() -> None:
    with registered_source("fixed", FIXED_WIDTH):
        TableSource(path="x", format="fixed").check("pipeline.items")
    with pytest.raises(ConfigError, match=r"pipeline\.items\.format = 'fixed': expected one of auto, parquet, csv"):
        TableSource(path="x", format="fixed").check("pipeline.items")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("csv", SourceKind(module="x")),
        ("lines", SourceKind(module="x", endings=(".csv",))),
        ("lines", SourceKind(module="x", schemes=("mysql",))),
    ],
)
def test_a_name_an_ending_and_a_scheme_belong_to_one_kind(name: str, kind: SourceKind) -> None:
    before = dict(SOURCE_KINDS)
    with pytest.raises(ValueError, match="is taken"), registered_source(name, kind):
        pass
    assert before == SOURCE_KINDS
