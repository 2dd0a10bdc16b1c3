"""Tables that would make a wrong dataset without a word are refused or told."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beam_pipelines.config import LabelConfig, PipelineConfig, SplitConfig, TableSource
from beam_pipelines.config.source import IdRules
from beam_pipelines.passes.findings import empty_vocabularies
from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import DatasetLayout
from features.disk.manifest import Manifest
from features.encoding.vocabulary import Vocabulary
from features.errors import ConfigError, InputError
from features.schema import Schema
from features.spec.ids import IdFeature
from tests.beam_pipelines.conftest import Prepared, events_of

Rows = list[dict[str, Any]]
START = 1_700_000_000
LOG: Rows = [{"user_id": n % 12, "item_id": n % 20, "timestamp": START + 3600 * n} for n in range(240)]
ITEMS: Rows = [{"item_id": n, "title": f"Title {n}"} for n in range(20)]


def write(path: Path, rows: Rows) -> str:
    path.write_text(
        "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n", encoding="utf-8"
    )
    return str(path)


@pytest.fixture
def prepared(tmp_path: Path, ids_only: Schema) -> Callable[..., Manifest]:
    def prepare(log: Rows, items: Rows = (), source: dict[str, Any] | None = None, **settings: Any) -> Manifest:
        tables = {"interactions": TableSource(path=write(tmp_path / "log.csv", log), **(source or {}))}
        if items:
            tables["items"] = TableSource(path=write(tmp_path / "items.csv", items), **settings.pop("of_items", {}))
        config = PipelineConfig(**tables, num_shards=1, **({"report": False} | settings))
        return prepare_dataset(ids_only, config, DatasetLayout(tmp_path / "dataset"), seed=0).manifest

    return prepare


def changed(rows: Rows, change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> Rows:
    return [row | change(n, row) for n, row in enumerate(rows)]


def test_a_plain_log_has_no_notes_but_its_join(prepared: Callable[..., Manifest]) -> None:
    assert prepared(LOG, ITEMS).notes == (
        "20 of the log's 20 items (100.0%) are in the items table, 0 of its 20 are not in the log",
    )


@pytest.mark.slow
def test_notes_stand_in_the_report_too(prepared: Callable[..., Manifest], tmp_path: Path) -> None:
    log = changed(LOG, lambda n, row: {"item_id": f"<{row['item_id']}>" if n % 20 == 7 else row["item_id"]})
    [note] = prepared(log, ITEMS, report=True).notes
    assert "only in the log: '<7>'" in note
    page = DatasetLayout(tmp_path / "dataset").report.read_text(encoding="utf-8")
    assert html.escape(note).replace("&#x27;", "&#39;") in page


@pytest.mark.slow
@pytest.mark.parametrize("every", [2, 3, 20])
@pytest.mark.parametrize(("wrong", "told"), [(0, "first day of 1970"), (86_399, "first day of 1970")])
def test_a_mass_of_times_at_zero_is_refused(
    prepared: Callable[..., Manifest], every: int, wrong: int, told: str
) -> None:
    log = changed(LOG, lambda n, _: {"timestamp": wrong} if n % every == 0 else {})
    with pytest.raises(InputError, match=rf"{240 // every} of 240 times lie in the {told}.*implausible_times"):
        prepared(log)
    kept = prepared(log, source={"implausible_times": "keep"})
    assert any(told in note for note in kept.notes)


@pytest.mark.parametrize("every", [2, 4])
def test_two_units_in_one_column_are_refused(prepared: Callable[..., Manifest], every: int) -> None:
    log = changed(LOG, lambda n, row: {"timestamp": row["timestamp"] * 1000} if n % every else {})
    with pytest.raises(InputError, match="some are in another unit than `timestamp_format` says"):
        prepared(log, source={"timestamp_format": "ms"})


@pytest.mark.parametrize("years", [20, 60])
def test_times_in_the_future_are_refused(prepared: Callable[..., Manifest], years: int) -> None:
    log = changed(LOG, lambda n, row: {"timestamp": row["timestamp"] + years * 31_557_600} if n % 2 else {})
    with pytest.raises(InputError, match="120 of 240 times lie in the future"):
        prepared(log)


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 1, 500])
def test_positions_are_an_order(prepared: Callable[..., Manifest], first: int) -> None:
    assert not prepared(changed(LOG, lambda n, _: {"timestamp": first + n})).notes


@pytest.mark.slow
@pytest.mark.parametrize("moment", [START, 1])
def test_one_moment_cannot_be_split_by_time(prepared: Callable[..., Manifest], moment: int) -> None:
    log = changed(LOG, lambda n, _: {"timestamp": moment})
    with pytest.raises(InputError, match=r"all 240 times are (2023-11-14 22:13:20|1970-01-01 00:00:01)"):
        prepared(log)
    assert prepared(log, split=SplitConfig(kind="leave_last_out")).counts["interactions_read"] == 240


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spell", "rules"),
    [
        (lambda id: f" {id}", {"strip": True}),
        (lambda id: f"{id}.0", {"float_suffix": "drop"}),
        (lambda id: f"{id:05}", {"leading_zeros": "drop"}),
    ],
)
def test_ids_that_do_not_join_fail_and_the_setting_that_is_named_mends_it(
    prepared: Callable[..., Manifest], spell: Callable[[int], str], rules: dict[str, Any]
) -> None:
    log = changed(LOG, lambda n, row: {"item_id": spell(row["item_id"])})
    [name] = rules
    with pytest.raises(
        InputError, match=rf"table items: 0 of the log's 20 items.*set ids = {{ {name} = .* in pipeline.int"
    ):
        prepared(log, ITEMS)
    mended = prepared(log, ITEMS, source={"ids": IdRules(**rules)})
    assert mended.counts["candidates"] == 20
    assert "20 of the log's 20 items" in mended.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize(("known", "least", "ok"), [(9, 0.5, False), (10, 0.5, True), (1, 0.0, True), (19, 1.0, False)])
def test_the_least_coverage_is_configured(
    prepared: Callable[..., Manifest], known: int, least: float, ok: bool
) -> None:
    of_items = {"min_join_coverage": least}
    if ok:
        assert f"{known} of the log's 20 items" in prepared(LOG, ITEMS[:known], of_items=of_items).notes[0]
    else:
        with pytest.raises(
            InputError, match=f"{known} of the log's 20 items.*min_join_coverage.*may be another column"
        ):
            prepared(LOG, ITEMS[:known], of_items=of_items)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["NULL", "nan", "\\N", "None", "NA"])
def test_words_for_missing_are_no_users(prepared: Callable[..., Manifest], word: str) -> None:
    log = changed(LOG, lambda n, _: {"user_id": word} if n % 40 == 0 else {})
    assert prepared(log).counts["rejected: interactions: user_id is missing"] == 6
    assert prepared(log, source={"missing": ()}).counts["interactions_rejected"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("lone", [-1, 0])
def test_a_value_below_the_scale_is_told(prepared: Callable[..., Manifest], lone: int) -> None:
    log = changed(LOG, lambda n, _: {"stars": lone if n % 3 == 0 else n % 5 + 1})
    [note] = prepared(log, label=LabelConfig(rating_column="stars")).notes
    assert note.startswith(f"stars {lone} (80 events) lies outside the scale")


@pytest.mark.slow
@pytest.mark.parametrize("mark", [",", "."])
def test_ratings_with_either_decimal_mark_are_numbers(prepared: Callable[..., Manifest], mark: str) -> None:
    log = changed(LOG, lambda n, _: {"stars": f'"{n % 5}{mark}5 €"'})
    manifest = prepared(log, label=LabelConfig(rating_column="stars", threshold=3.0), source={"decimal": mark})
    assert manifest.counts["interactions_rejected"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "split", "told"),
    [
        (lambda n, _: {"user_id": n}, "leave_last_out", "every user has one event at most"),
        (lambda n, _: {"user_id": n}, "per_user_fraction", "the test split has no targets"),
        (lambda n, _: {"user_id": 7}, "global_time", "all events are of one user"),
        (lambda n, _: {"item_id": 7}, "global_time", "all training events are of one item"),
    ],
)
def test_logs_that_teach_little_are_told(
    prepared: Callable[..., Manifest], change: Callable[[int, Any], dict[str, Any]], split: str, told: str
) -> None:
    manifest = prepared(changed(LOG, change), split=SplitConfig(kind=split))
    assert any(note.startswith(told) for note in manifest.notes)


@pytest.mark.slow
def test_a_swallowed_line_is_counted(prepared: Callable[..., Manifest], tmp_path: Path) -> None:
    log = changed(LOG, lambda n, _: {"note": '"two\nlines"' if n == 5 else '"never closed' if n == 9 else "x"})
    manifest = prepared(log)
    assert manifest.counts["interactions_read"] == 240
    assert manifest.counts["interactions_continuation_lines"] == 1
    assert manifest.counts["rejected: interactions: a quote is opened and not closed"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(("cycle", "first"), [(24, 0), (7, 0), (7, 1), (12, 1)])
def test_hours_and_weekdays_are_no_order(prepared: Callable[..., Manifest], cycle: int, first: int) -> None:
    log = changed(LOG, lambda n, _: {"timestamp": n // 12 * 5 % cycle + first, "item_id": n})
    if cycle < 20:
        with pytest.raises(
            InputError, match=rf"numbers from {first} to {first + cycle - 1}, and \d+ of 240 events share"
        ):
            prepared(log)
        assert "hours or days" in prepared(log, source={"implausible_times": "keep"}).notes[0]
    else:
        assert not prepared(log).notes


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_order_of_rows_can_stand_for_times(tmp_path: Path, ids_only: Schema, ending: str) -> None:
    rows = [{"user_id": f"u{n % 3}", "item_id": f"i{n}"} for n in range(30)]
    path = tmp_path / f"log.{ending}"
    if ending == "csv":
        write(path, rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = TableSource(path=str(path), timestamp_format="row-order")
    config = PipelineConfig(interactions=source, report=False, split=SplitConfig(kind="leave_last_out"))
    result = prepare_dataset(ids_only, config, DatasetLayout(tmp_path / "dataset"), seed=0)
    prepared = Prepared(result.manifest, False, DatasetLayout(tmp_path / "dataset"))
    tests = [event for record in prepared.retrieval()["test"] for event in events_of(record, ids_only, targets=True)]
    assert sorted(tests) == [(f"u{user}", f"i{27 + user}", 28 + user) for user in range(3)]


def test_the_order_of_rows_is_no_time_to_split_by_and_of_one_file(tmp_path: Path, ids_only: Schema) -> None:
    source = TableSource(path=f"{tmp_path}/*.csv", timestamp_format="row-order")
    with pytest.raises(ConfigError, match=r"pipeline\.split\.kind = 'global_time': expected a split by user"):
        PipelineConfig(interactions=source)
    for name in ("a.csv", "b.csv"):
        write(tmp_path / name, LOG)
    config = PipelineConfig(interactions=source, split=SplitConfig(kind="leave_last_out"))
    with pytest.raises(InputError, match="2 files, but the order of rows is that of one file"):
        prepare_dataset(ids_only, config, DatasetLayout(tmp_path / "dataset"), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(("properties", "told"), [(1, False), (2, True), (3, True)])
def test_several_rows_an_item_are_told(prepared: Callable[..., Manifest], properties: int, told: bool) -> None:
    rows = [row | {"property": n} for row in ITEMS for n in range(properties)]
    notes = prepared(LOG, rows).notes
    expected = f"the items table has {20 * (properties - 1)} rows whose item has a later row"
    assert any(note.startswith(expected) for note in notes) == told


def test_a_vocabulary_that_nothing_is_frequent_enough_for_is_named() -> None:
    schema = Schema(query=(IdFeature(name="user_id"),), candidate=(IdFeature(name="item_id", min_count=60),))
    vocabularies = {"user_id": Vocabulary(("u",)), "item_id": Vocabulary(())}
    (note,) = empty_vocabularies(schema, vocabularies)
    assert note.startswith("feature item_id: no value occurs 60 times or more (min_count)")
