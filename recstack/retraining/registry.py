"""The registry: what each training run was made from, what it reached, and where it is served.

It is read from the manifests that `recstack` writes in any case, so that there is no second place to keep in step.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from features.disk.layout import MODEL_NAMES, STAGE_NAMES, ModelName, RunLayout, StageLayout, StageName, Workdir
from features.disk.manifest import Manifest, read_manifest
from features.errors import InputError
from recstack.retraining.record import RetrainingRecord, read_records
from trainer.export.labels import canary_version, stable_version


@dataclass(frozen=True, kw_only=True)
class TrainedStage:
    """One trained stage of a run."""

    fingerprint: str
    """Metrics in the stage's manifest."""
    config: str
    """Fingerprint of the stage's configuration."""
    validation: Mapping[str, float]
    """Metrics on validation after the best epoch, by name."""
    evaluation: Mapping[str, float]
    """Metrics of `recstack evaluate`, by name; empty if the stage was not evaluated."""
    seconds: float
    """Wall time of the training."""


@dataclass(frozen=True, kw_only=True)
class RegisteredRun:
    """One training run and its lineage."""

    id: str
    """Name of its directory."""
    trained: str
    """When its last stage was finished: ISO 8601, UTC."""
    dataset: str
    """Fingerprint of the dataset that it was trained on."""
    window: tuple[str, str]
    """First and last of the interactions' partitioned folders; empty texts where all were read."""
    counts: Mapping[str, int]
    """Counts of the dataset's manifest."""
    code: str
    """Version of recstack that trained it."""
    seed: str
    """Seed of everything random."""
    stages: Mapping[StageName, TrainedStage]
    """Its finished stages."""
    is_current: bool
    """Whether `runs/current` names it."""
    serves: tuple[str, ...]
    """The models whose live version was made from it: the newest one, or the stable one beside a canary."""
    canary: tuple[str, ...] = ()
    """The models whose canary was made from it."""
    parent: str = ""
    """Id of the run that was current before, if `recstack retrain` made this one."""
    retraining: str = ""
    """Id of that retraining, whose directory has the gate's measurements."""
    gate: str = ""
    """How that retraining ended, such as `refused by data`."""


def registered_runs(workdir: Workdir) -> list[RegisteredRun]:
    """All runs with a finished stage, the newest first.

    Raises:
        InputError: `runs/current` or the record of a retraining cannot be read.
    """
    current, live, canary = workdir.runs.current, live_stages(workdir), canary_stages(workdir)
    runs = [read_run(run, is_current=run == current, live=live, canary=canary) for run in _finished(workdir)]
    retrainings = {record.run: record for record in reversed(read_records(workdir.retrainings))}
    runs = [_with_retraining(run, retrainings.get(run.id)) for run in runs]
    return sorted(runs, key=lambda run: (run.trained, run.id), reverse=True)


def _with_retraining(run: RegisteredRun, record: RetrainingRecord | None) -> RegisteredRun:
    """The run with what its last retraining did."""
    if record is None:
        return run
    refused = f" by {', '.join(record.refused_by)}" if record.outcome == "refused" else ""
    again = " again" if record.earlier_rollbacks else ""
    forced = f" in spite of {', '.join(record.refused_by)}" if record.forced and record.refused_by else ""
    back = f", rolled back: {record.rolled_back}" if record.rolled_back else ""
    return replace(
        run, parent=record.parent, retraining=record.id, gate=f"{record.outcome}{again}{refused}{forced}{back}"
    )


def find_run(workdir: Workdir, name: str) -> RunLayout:
    """The run with this id, with an id that starts so, or the one called `current`.

    Raises:
        InputError: there is none, or several ids start so.
    """
    finished = _finished(workdir)
    known = ", ".join(run.id for run in finished) or "none"
    if name == "current":
        if finished and workdir.runs.current is None:
            raise InputError(f"no run is the current one, since none was published; name one of {known}")
        return workdir.current_run
    found = [run for run in finished if run.id.startswith(name)]
    if len(found) != 1:
        problem = "no finished run has" if not found else f"{len(found)} runs have"
        raise InputError(f"run {name!r}: {problem} an id that starts so; expected `current` or one of {known}")
    return found[0]


def _finished(workdir: Workdir) -> list[RunLayout]:
    return [run for run in workdir.runs.all() if run.finished()]


def live_stages(workdir: Workdir) -> Mapping[str, frozenset[str]]:
    """By model, the fingerprints of the stages that its live version was made from.

    Raises:
        InputError: the file of the stable versions is damaged.
    """
    return _made_from(workdir, lambda model: _live_version(workdir, model))


def canary_stages(workdir: Workdir) -> Mapping[str, frozenset[str]]:
    """The same of the models that have a canary; raises what `live_stages` raises."""
    return _made_from(workdir, lambda model: _canary(workdir, model))


def _live_version(workdir: Workdir, model: ModelName) -> int | None:
    """The newest version, or the stable one while another is the canary."""
    if _canary(workdir, model) is not None:
        return stable_version(workdir, model)
    return workdir.model(model).current


def _canary(workdir: Workdir, model: ModelName) -> int | None:
    stable = stable_version(workdir, model)
    if stable is None:
        return None
    canary = canary_version(workdir, model)
    return canary if canary != stable else None


def _made_from(workdir: Workdir, version_of: Callable[[ModelName], int | None]) -> Mapping[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for model in MODEL_NAMES:
        version = version_of(model)
        if version is not None:
            with suppress(InputError):  # published by something else
                inputs = read_manifest(workdir.model(model).manifest(version), "saved_model").inputs
                found[model] = frozenset(inputs.values())
    return found


def served_runs(workdir: Workdir) -> list[RunLayout]:
    """The runs that the newest and the stable version of each model were made from, as far as they are still there.

    Of several runs that share a version's stages, the current one counts, else the last in order.

    Raises:
        InputError: a run's manifest is damaged.
    """
    runs = [run for run in workdir.runs.all() if run.finished()]
    runs.sort(key=lambda run: run == workdir.runs.current)
    trained = {run.id: set(_fingerprints(run).items()) for run in runs}
    served: dict[str, RunLayout] = {}
    for made_from in _stages_of_versions(workdir):
        found = [run for run in runs if made_from <= trained[run.id]]
        served |= {run.id: run for run in found[-1:]}
    return list(served.values())


def _stages_of_versions(workdir: Workdir) -> Iterator[set[tuple[StageName, str]]]:
    """Names and fingerprints of the stages that each newest and each stable version was made from."""
    for model in MODEL_NAMES:
        layout = workdir.model(model)
        versions = {layout.current, stable_version(workdir, model)}
        for version in (each for each in versions if each is not None):
            with suppress(InputError):  # published by something else
                inputs = read_manifest(layout.manifest(version), "saved_model").inputs
                yield {(stage, inputs[stage]) for stage in STAGE_NAMES if stage in inputs}


def _fingerprints(run: RunLayout) -> dict[StageName, str]:
    return {name: read_manifest(run.stage(name).manifest, "run").fingerprint() for name in run.finished()}


def read_run(
    run: RunLayout,
    *,
    is_current: bool,
    live: Mapping[str, frozenset[str]],
    canary: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> RegisteredRun:
    """Reads one run that has a finished stage.

    Args:
        run: the run.
        is_current: whether it is the current one.
        live: by model, the fingerprints of the stages behind the live version.
        canary: by model, those of the stages behind the canary.

    Raises:
        InputError: a manifest is damaged.
    """
    manifests = {name: read_manifest(run.stage(name).manifest, "run") for name in run.finished()}
    newest = max(run.stage(name).manifest.stat().st_mtime for name in manifests)
    first = next(iter(manifests.values()))
    dataset = _dataset(run.stage(next(iter(manifests))))
    fingerprints = {manifest.fingerprint() for manifest in manifests.values()}
    return RegisteredRun(
        id=run.id,
        trained=as_utc(newest),
        dataset=first.inputs["dataset"],
        window=_window(dataset),
        counts=dict(dataset.counts) if dataset else {},
        code=first.producer.get("recstack", ""),
        seed=first.inputs.get("seed", ""),
        stages={name: _stage(run.stage(name), manifest) for name, manifest in manifests.items()},
        is_current=is_current,
        serves=tuple(model for model, made_from in live.items() if made_from & fingerprints),
        canary=tuple(model for model, made_from in canary.items() if made_from & fingerprints),
    )


def as_utc(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def evaluated(layout: StageLayout) -> dict[str, float]:
    """The model's metrics in a stage's `metrics.json`, a ranking task's as `task/metric`; empty without a file."""
    try:
        content = json.loads(layout.metrics.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if "tasks" in content:
        return {
            f"{task}/{name}": value
            for task, judged in content["tasks"].items()
            for name, value in judged["model"].items()
            if isinstance(value, float)
        }
    return {name: interval["value"] for name, interval in content["model"]["metrics"].items()}


def _stage(layout: StageLayout, manifest: Manifest) -> TrainedStage:
    return TrainedStage(
        fingerprint=manifest.fingerprint(),
        config=manifest.inputs.get("config", ""),
        validation=dict(_numbers(manifest.metrics)),
        evaluation=evaluated(layout),
        seconds=manifest.seconds,
    )


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield name, float(value)


def _dataset(layout: StageLayout) -> Manifest | None:
    """The manifest of the dataset, which the run keeps; None in a run that was damaged."""
    path: Path = layout.dataset.manifest
    try:
        return read_manifest(path, "dataset")
    except InputError:
        return None


def _window(dataset: Manifest | None) -> tuple[str, str]:
    interactions = dataset.config.get("interactions", {}) if dataset else {}
    return interactions.get("first", ""), interactions.get("last", "")
