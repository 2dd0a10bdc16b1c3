"""Renders a dataset's profile as an HTML page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.profile.dataset_profile import FeatureProfile, SplitProfile, events_of_all_splits, of_feature
from beam_pipelines.profile.drift import Drift
from beam_pipelines.profile.report import plots
from beam_pipelines.profile.report.data import ReportData
from features.disk.layout import SPLITS

_STABLE, _MOVED = 0.1, 0.25
_MANY_MISSING, _LITTLE_KNOWN, _FEW_TARGETS = 0.5, 0.5, 100


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Share of the occurring values that a vocabulary contains; None if no values occur."""

    name: str
    """The feature."""
    tokens: int
    """Size of the vocabulary."""
    train: float | None
    """Share of the training events, or users for the users table."""
    validation: float | None
    """Share of the validation events."""
    test: float | None
    """Share of the test events."""
    items: float | None
    """Share of the catalogue, for item features."""


def render(data: ReportData) -> str:
    """Renders the page."""
    profile = data.profile
    items = of_feature(data.values, data.schema.item_id)
    frequencies = items.column("positives").to_numpy()
    coverage = list(_coverage(data))
    missing = [(name, found.missing / max(found.rows, 1)) for name, found in profile.features.items() if found.missing]
    missing.sort(key=lambda pair: -pair[1])
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("beam_pipelines.profile.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"count": lambda n: f"{n:,}", "percent": _percent, "number": lambda x: f"{x:.4g}"}
    return environment.get_template("report.html.j2").render(
        tiles=_tiles(data, items),
        notes=list(_notes(data, coverage, missing)),
        splits=_split_rows(data),
        coverage=coverage,
        missing=missing,
        num_features=len(profile.features) - 1,
        rejects=_rejects(data.counts),
        cleaning=_cleaning(data.counts),
        numbers=[_number_row(name, found) for name, found in profile.features.items() if found.quantiles],
        popular=_popular(frequencies),
        drift=data.drift,
        shifts=_shifts(data.drift),
        times_svg=plots.events_over_time(profile.splits),
        popularity_svg=plots.popularity(frequencies),
        concentration_svg=plots.concentration(frequencies),
        histories_svg=plots.histories(profile.splits),
        users_svg=plots.interactions_a_user(profile.users),
        missing_svg=plots.missing_values([name for name, _ in missing], [share for _, share in missing]),
    )


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _tiles(data: ReportData, items: pa.Table) -> list[tuple[str, str]]:
    splits = data.profile.splits.values()
    events, users = sum(split.events for split in splits), sum(data.profile.users)
    used = pc.sum(pc.greater(events_of_all_splits(items), 0)).as_py() or 0
    tiles = [("events", f"{events:,}"), ("users", f"{users:,}"), ("items", f"{items.num_rows:,}")]
    tiles.append(("of the items have events", f"{used:,}"))
    if users and used:
        tiles.append(("of all pairs have an event", f"{events / (users * used):.3%}"))
    filled = [split for split in splits if split.events]
    if filled and max(split.last for split in filled) > plots.FIRST_TIME:
        span = min(split.first for split in filled), max(split.last for split in filled)
        first, last = (f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}" for second in span)
        tiles.append((f"to {last}", first))
    return tiles


def _split_rows(data: ReportData) -> list[dict[str, object]]:
    profile, counts = data.profile, data.counts
    total = max(sum(split.events for split in profile.splits.values()), 1)
    return [
        {
            "name": name,
            "colour": plots.COLOURS[name],
            "events": split.events,
            "share": split.events / total,
            "users": split.users,
            "positives": split.positives,
            "examples": counts.get(f"targets: ranking/{name}", 0),
            "known": 1 - split.histories[0] / split.positives if split.positives else None,
        }
        for name, split in profile.splits.items()
    ]


def _coverage(data: ReportData) -> Iterator[Coverage]:
    candidate = {feature.name for feature in data.schema.candidate} - {data.schema.item_id}
    for name, vocabulary in data.vocabularies.items():
        counts = of_feature(data.values, name)
        known = pc.is_in(counts.column("value"), pa.array(vocabulary.tokens, pa.string()))
        present = pc.not_equal(counts.column("value"), "")
        shares = {
            split: _known_share(counts.column("events" if split == "train" else split), known, present)
            for split in SPLITS
        }
        if name in candidate:
            shares = {"train": None, "validation": None, "test": None}
        of_items = _known_share(counts.column("events"), known, present) if name in candidate else None
        if name == data.schema.item_id:
            of_items = float(pc.mean(known).as_py() or 0)
        yield Coverage(name=name, tokens=len(vocabulary.tokens), items=of_items, **shares)


def _known_share(counts: pa.ChunkedArray, known: pa.ChunkedArray, present: pa.ChunkedArray) -> float | None:
    total = pc.sum(counts.filter(present)).as_py()
    return float(pc.sum(counts.filter(pc.and_(known, present))).as_py() or 0) / total if total else None


def _rejects(counts: Mapping[str, int]) -> list[dict[str, object]]:
    rows = []
    for key, rejected in counts.items():
        if key.startswith("rejected: "):
            table, reason = key.removeprefix("rejected: ").split(": ", 1)
            share = rejected / max(counts[f"{table}_read"], 1)
            rows.append({"table": table, "reason": reason, "rows": rejected, "share": share})
    return sorted(rows, key=lambda row: -int(str(row["rows"])))


def _cleaning(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Rows and events that were dropped although they were valid."""
    names = {
        "interactions_duplicates": "rows equal to another in every column that is read",
        "near_duplicates": "repetitions of an event too soon after it",
        "bot_events": "events beyond what a person does on a day, and what follows them",
        "outside_core": "events of users or items with too few others",
        "items_duplicates": "rows of the items table whose item comes again",
        "users_duplicates": "rows of the users table whose user comes again",
    }
    return [(meaning, counts[name]) for name, meaning in names.items() if counts.get(name)]


def _number_row(name: str, found: FeatureProfile) -> dict[str, object]:
    low, *_ = found.quantiles
    middle, high = found.quantiles[len(found.quantiles) // 2], found.quantiles[-1]
    fifth, last_fifth = (float(np.quantile(found.quantiles, share)) for share in (0.05, 0.95))
    values = {"low": low, "p5": fifth, "middle": middle, "p95": last_fifth, "high": high}
    return {"name": name, "owner": found.owner, "missing": found.missing / max(found.rows, 1)} | values


def _shifts(drift: Drift | None) -> list[tuple[str, float, str]]:
    """Features by stability index, with a verdict."""
    if drift is None:
        return []
    moved = sorted(drift.stability.items(), key=lambda pair: -pair[1])
    return [(name, value, _shift_word(value)) for name, value in moved]


def _shift_word(value: float) -> str:
    return "another distribution" if value > _MOVED else "shifted" if value > _STABLE else "stable"


def _popular(frequencies: np.ndarray) -> list[tuple[str, str]]:
    """How unevenly interactions are distributed over items."""
    ordered = np.sort(frequencies)[::-1]
    total = ordered.sum()
    if not total:
        return []
    size = len(ordered)
    gini = float(1 - 2 * (np.cumsum(ordered[::-1]).sum() / total - 0.5) / size)
    rows = [(f"{share:.0%} of the items", ordered[: max(1, int(share * size))].sum() / total) for share in (0.01, 0.1)]
    told = [(f"of the interactions are with {name}", f"{share:.0%}") for name, share in rows]
    never = int((ordered == 0).sum())
    return [*told, ("Gini coefficient", f"{gini:.2f}"), ("items without training interactions", f"{never:,}")]


def _notes(data: ReportData, coverage: Sequence[Coverage], missing: Sequence[tuple[str, float]]) -> Iterator[str]:
    """What `prepare` found in the tables, then what a careful reader would notice."""
    yield from data.findings
    for name, value, word in _shifts(data.drift):
        if value > _STABLE:
            yield f"{name}: {word} since the former dataset (stability index {value:.2f})."
    yield from _split_notes(data.profile.splits)
    for found in coverage:
        if found.test is not None and found.test < _LITTLE_KNOWN:
            yield f"The vocabulary of {found.name} knows only {found.test:.0%} of the test events."
    for name, share in missing:
        if share > _MANY_MISSING:
            yield f"{name} is missing in {share:.0%} of what it describes."
    rejected = sum(int(str(row["rows"])) for row in _rejects(data.counts))
    if rejected:
        yield f"{rejected:,} rows were refused; each is in rejects/ with its reason, file and row."


def _split_notes(splits: Mapping[str, SplitProfile]) -> Iterator[str]:
    for name in ("validation", "test"):
        split = splits[name]
        if not split.positives:
            yield f"No targets in {name}: nothing can be measured there."
            continue
        if split.positives < _FEW_TARGETS:
            yield f"Only {split.positives:,} targets in {name}: its metrics will be uncertain."
        unknown = split.histories[0] / split.positives
        if unknown > 1 - _LITTLE_KNOWN:
            yield f"{unknown:.0%} of the targets in {name} are of users without any interaction before."
