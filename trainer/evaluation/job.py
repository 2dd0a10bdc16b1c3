"""`evaluate_stage`: one stage's trained model to its `metrics.json`."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.disk.files import write_text_atomically
from features.disk.layout import StageLayout, StageName
from features.disk.manifest import read_manifest, require_schema
from features.schema import fingerprint
from features.serialization import unstructure
from trainer.config.evaluation import EvaluationConfig
from trainer.evaluation.cascade import evaluate_cascade
from trainer.evaluation.html import write_cascade_report, write_report
from trainer.evaluation.ranking import evaluate_ranking
from trainer.evaluation.ranking_html import write_ranking_report
from trainer.evaluation.retrieval import evaluate_retrieval
from trainer.restore import Trained, require_trained, restore
from trainer.training.stage import AnyStage, StageContext


@dataclass(frozen=True, kw_only=True)
class EvaluationJob:
    """What is evaluated and how."""

    context: StageContext
    """Schema, dataset and run."""
    config: EvaluationConfig
    """Split, metrics and baselines."""
    progress: Callable[[str], None] = field(default=lambda message: None, repr=False)
    """Called with one line about each measurement."""


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What an evaluation measured."""

    content: Mapping[str, Any]
    """Content of the stage's `metrics.json`."""
    layout: StageLayout
    """The stage's directory, which holds the file and perhaps a report."""
    nothing_to_do: bool
    """Whether the file was there already, made from the same inputs."""


def _retrieval(trained: Trained[Any], job: EvaluationJob, _: AnyStage) -> dict[str, Any]:
    return evaluate_retrieval(trained, job.context.dataset, job.config, job.context.seed, job.progress)


def _ranking(trained: Trained[Any], job: EvaluationJob, _: AnyStage) -> dict[str, Any]:
    return evaluate_ranking(trained, job.context.dataset, job.config)


def _list_ranking(trained: Trained[Any], job: EvaluationJob, stage: Any) -> dict[str, Any]:
    return evaluate_cascade(trained, job.context, job.config, stage)


_MEASURES: Mapping[StageName, Callable[[Trained[Any], EvaluationJob, AnyStage], dict[str, Any]]] = {
    "retrieval": _retrieval,
    "ranking": _ranking,
    "list_ranking": _list_ranking,
}
_REPORTS: Mapping[StageName, Callable[[Mapping[str, Any], Path], None]] = {
    "retrieval": write_report,
    "ranking": write_ranking_report,
    "list_ranking": write_cascade_report,
}


def evaluate_stage(job: EvaluationJob, stage: AnyStage) -> EvaluationResult:
    """Measures one stage's model on the configured split and writes its `metrics.json` and its report.

    Raises:
        InputError: the dataset or the run is missing, or the split holds nothing to judge by.
    """
    layout = job.context.run.stage(stage.name)
    inputs = evaluation_inputs(job, stage)
    require_trained(job.context, stage)
    if (known := _measured_before(layout.metrics, inputs)) is not None:
        return EvaluationResult(content=known, layout=layout, nothing_to_do=True)
    start = time.perf_counter()
    measured = _MEASURES[stage.name](restore(job.context, stage), job, stage)
    content = {
        "inputs": inputs,
        "split": job.config.split,
        "cutoffs": list(job.config.cutoffs),
        "confidence": job.config.confidence,
        "seconds": round(time.perf_counter() - start, 2),
        **measured,
    }
    _REPORTS[stage.name](content, layout.report)
    write_text_atomically(layout.metrics, json.dumps(content, indent=1) + "\n")
    return EvaluationResult(content=content, layout=layout, nothing_to_do=False)


def is_measured(job: EvaluationJob, stage: AnyStage) -> bool:
    """Whether `evaluate_stage` has nothing to do.

    Raises:
        InputError: the dataset or the run is missing.
    """
    return _measured_before(job.context.run.stage(stage.name).metrics, evaluation_inputs(job, stage)) is not None


def _measured_before(path: Path, inputs: dict[str, str]) -> dict[str, Any] | None:
    """What an evaluation of the same inputs wrote; damage is mended by measuring again."""
    try:
        known = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and known.get("inputs") == inputs else None


def evaluation_inputs(job: EvaluationJob, stage: AnyStage) -> dict[str, str]:
    """Fingerprints of what an evaluation is made from.

    Raises:
        InputError: the dataset or the run is missing, or of another schema.
    """
    context = job.context
    dataset = read_manifest(context.dataset.manifest, "dataset")
    require_schema(dataset, context.schema.fingerprint(), context.dataset.manifest)
    run = read_manifest(context.run.stage(stage.name).manifest, "run")
    settings = fingerprint([unstructure(job.config), context.seed])
    return {"dataset": dataset.fingerprint(), "run": run.fingerprint(), "evaluation": settings}
