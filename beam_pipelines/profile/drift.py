"""Measures how a dataset differs from the one it replaces.

Distributions are compared by the population stability index (Siddiqi, Credit Risk Scorecards, 2006, chapter 9): over
the bins of a feature, the sum of (now - before) ln(now / before) of their shares. Customarily, below 0.1 is stable and
above 0.25 is another distribution. By chance alone it is about (bins - 1) (1 / rows before + 1 / rows now).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import DriftConfig
from beam_pipelines.passes.profile_facts import Counts, sum_counts
from beam_pipelines.profile.dataset_profile import (
    DatasetProfile,
    FeatureProfile,
    events_of_all_splits,
    of_feature,
    read_values,
)
from features.disk.layout import DatasetLayout
from features.errors import InputError
from features.schema import Schema

HISTORY = "history length"
_RARE = 0.01
_DECILES = 10
# Added to the count of each bin, so that empty bins have a logarithm.
_PRIOR = 0.5

_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class IdDrift:
    """New and vanished users or items."""

    before: int
    """Number before."""
    now: int
    """Number now."""
    new: float
    """Share of the present ones that are new."""
    vanished: float
    """Share of the former ones that are gone."""


@dataclass(frozen=True, kw_only=True)
class SplitDrift:
    """Number of events in one split."""

    before: int
    """Number before."""
    now: int
    """Number now."""

    @property
    def change(self) -> float:
        """Relative change; infinite if there were no events before."""
        if self.before == 0:
            return float("inf") if self.now else 0.0
        return self.now / self.before - 1


@dataclass(frozen=True, kw_only=True)
class Drift:
    """All differences, and those above their limits."""

    stability: Mapping[str, float]
    """Population stability index of each feature, of the label and of the lengths of histories."""
    users: IdDrift
    """Users with an event."""
    items: IdDrift
    """Items of the catalogue."""
    splits: Mapping[str, SplitDrift]
    """By name."""
    exceeded: tuple[str, ...] = field(default=())
    """Descriptions of the differences above their limits; empty if the dataset may be published."""


@dataclass(frozen=True)
class DatasetSnapshot:
    """The numbers of a dataset at one time."""

    profile: DatasetProfile
    """Splits and features."""
    values: pa.Table
    """Counts of values, as `learning.COUNT_TYPE`."""


def former_dataset(dataset: DatasetLayout) -> DatasetSnapshot | None:
    """Reads the snapshot of a finished dataset; None if there is no dataset or it has none."""
    if not (dataset.manifest.exists() and dataset.profile.exists() and dataset.values.exists()):
        return None
    try:
        return DatasetSnapshot(DatasetProfile.read(dataset.profile), read_values(dataset))
    except InputError:
        # Of another version of the profile's form.
        return None


def measure_drift(before: DatasetSnapshot, now: DatasetSnapshot, schema: Schema, limits: DriftConfig) -> Drift:
    """Compares two datasets.

    Args:
        before: the dataset to be replaced.
        now: its replacement.
        schema: features; those with the same name and kind in both datasets are compared.
        limits: Limits of the configuration.
    """
    found = Drift(
        stability=dict(_stability(before, now, schema)),
        users=_ids(before.values, now.values, schema.user_id),
        items=_ids(before.values, now.values, schema.item_id),
        splits={
            name: SplitDrift(before=before.profile.splits[name].events, now=split.events)
            for name, split in now.profile.splits.items()
        },
    )
    return replace(found, exceeded=tuple(_exceeded(found, limits)))


def stability_index(before: Sequence[float] | _Floats, now: Sequence[float] | _Floats) -> float:
    """Population stability index of two histograms with the same bins."""
    old, new = (np.asarray(counts, np.float64) + _PRIOR for counts in (before, now))
    old, new = old / old.sum(), new / new.sum()
    return float(((new - old) * np.log(new / old)).sum())


def _stability(before: DatasetSnapshot, now: DatasetSnapshot, schema: Schema) -> Iterator[tuple[str, float]]:
    for name, new in now.profile.features.items():
        old = before.profile.features.get(name)
        if old is None or old.kind != new.kind or name == schema.user_id or not (old.rows and new.rows):
            continue
        counts = [_totals(described.values, name) for described in (before, now)]
        if new.quantiles or old.quantiles:
            yield name, stability_index(*_number_bins(old, new))
        elif all(table.num_rows for table in counts):
            yield name, stability_index(*_value_bins(*counts))
        elif old.words and new.words:
            yield name, stability_index([*old.words, old.missing], [*new.words, new.missing])
        else:
            yield name, stability_index([old.missing, old.rows - old.missing], [new.missing, new.rows - new.missing])
    yield HISTORY, stability_index(*_padded(_histories(before.profile), _histories(now.profile)))


def _totals(values: pa.Table, name: str) -> pa.Table:
    """`value` and `count`, over all splits."""
    rows = of_feature(values, name)
    return pa.table({"value": rows.column("value"), "count": events_of_all_splits(rows)})


def _value_bins(before: pa.Table, now: pa.Table) -> tuple[_Floats, _Floats]:
    """One bin per value that is frequent in either dataset, and one for all others."""
    joined = before.join(now, keys="value", join_type="full outer", right_suffix="_now").sort_by("value")
    old, new = (joined.column(name).fill_null(0).to_numpy().astype(np.float64) for name in ("count", "count_now"))
    frequent = (old >= _RARE * max(old.sum(), 1)) | (new >= _RARE * max(new.sum(), 1))
    bins = [np.append(counts[frequent], counts[~frequent].sum()) for counts in (old, new)]
    return bins[0], bins[1]


def _number_bins(before: FeatureProfile, now: FeatureProfile) -> tuple[_Floats, _Floats]:
    """Bins at the former deciles, and one bin for missing values."""
    steps = np.arange(1, _DECILES) / _DECILES
    edges = np.unique(np.quantile(before.quantiles, steps, method="higher")) if before.quantiles else np.zeros(0)
    return _in_bins(before, edges), _in_bins(now, edges)


def _in_bins(feature: FeatureProfile, edges: _Floats) -> _Floats:
    counts = np.bincount(np.searchsorted(edges, feature.quantiles, side="right"), minlength=len(edges) + 1)
    present = feature.rows - feature.missing
    return np.append(counts * (present / max(counts.sum(), 1)), feature.missing)


def _histories(profile: DatasetProfile) -> Counts:
    return sum_counts(split.histories for split in profile.splits.values())


def _padded(before: Counts, now: Counts) -> tuple[_Floats, _Floats]:
    size = max(len(before), len(now))
    old, new = (np.pad(np.array(counts, np.float64), (0, size - len(counts))) for counts in (before, now))
    return old, new


def _ids(before: pa.Table, now: pa.Table, name: str) -> IdDrift:
    old, new = (of_feature(table, name).column("value") for table in (before, now))
    kept = int(pc.sum(pc.is_in(new, old.combine_chunks())).as_py() or 0)
    return IdDrift(before=len(old), now=len(new), new=1 - kept / max(len(new), 1), vanished=1 - kept / max(len(old), 1))


def _exceeded(found: Drift, limits: DriftConfig) -> Iterator[str]:
    if limits.max_stability_index is not None:
        for name, value in sorted(found.stability.items(), key=lambda pair: -pair[1]):
            if value > limits.max_stability_index:
                yield f"stability index of {name} {value:.3f} > max_stability_index {limits.max_stability_index:g}"
    for kind, ids in (("users", found.users), ("items", found.items)):
        for what, share in (("new", ids.new), ("vanished", ids.vanished)):
            limit = getattr(limits, f"max_{what}_{kind}")
            if limit is not None and share > limit:
                yield f"{what} {kind} {share:.1%} > max_{what}_{kind} {limit:g}"
    if limits.max_split_change is not None:
        for name, split in found.splits.items():
            if abs(split.change) > limits.max_split_change:
                yield f"events of {name} {split.change:+.1%} > max_split_change {limits.max_split_change:g}"
