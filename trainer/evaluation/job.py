"""`evaluate_stage`: one stage's trained model to its `metrics.json`."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.disk.files import write_text_atomically
from features.disk.layout import Stage, Workdir
from features.disk.manifest import read_manifest, require_schema
from features.schema import Schema, fingerprint
from features.serialization import unstructure
from trainer.config.evaluation import EvaluationConfig
from trainer.config.ranking import RankingConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.evaluation.html import write_report
from trainer.evaluation.ranking import evaluate_ranking
from trainer.evaluation.retrieval import evaluate_retrieval
from trainer.restore import require_run, restore_ranking, restore_retrieval


@dataclass(frozen=True, kw_only=True)
class EvaluationJob:
    """What is evaluated and how."""

    schema: Schema
    workdir: Workdir
    retrieval: RetrievalConfig
    ranking: RankingConfig
    evaluation: EvaluationConfig
    seed: int
    say: Callable[[str], None] = field(default=lambda message: None, repr=False)
    """Hears of progress."""


def evaluate_stage(job: EvaluationJob, stage: Stage) -> tuple[dict[str, Any], bool]:
    """Measures one stage's model on the configured split and writes its `metrics.json`, of retrieval a report too.

    Returns:
        The content of the file, and whether it was there already, made from the same inputs.

    Raises:
        InputError: the dataset or the run is missing, or the split holds nothing to judge by.
    """
    run = job.workdir.stage(stage)
    inputs = _inputs(job, stage)
    require_run(job.schema, job.workdir.dataset, run, job.ranking if stage == "ranking" else job.retrieval)
    if (known := _measured_before(run.metrics, inputs)) is not None:
        return known, True
    start = time.perf_counter()
    measured = _evaluate(job, stage)
    result = {
        "inputs": inputs,
        "split": job.evaluation.split,
        "cutoffs": list(job.evaluation.cutoffs),
        "confidence": job.evaluation.confidence,
        "seconds": round(time.perf_counter() - start, 2),
        **measured,
    }
    if stage == "retrieval":
        write_report(result, run.report)
    write_text_atomically(run.metrics, json.dumps(result, indent=1) + "\n")
    return result, False


def _measured_before(path: Path, inputs: dict[str, str]) -> dict[str, Any] | None:
    """What an evaluation of the same inputs wrote; damage is mended by measuring again."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) and known.get("inputs") == inputs else None


def _evaluate(job: EvaluationJob, stage: Stage) -> dict[str, Any]:
    dataset, run = job.workdir.dataset, job.workdir.stage(stage)
    if stage == "ranking":
        ranker = restore_ranking(job.schema, dataset, run, job.ranking)
        return evaluate_ranking(ranker, dataset, job.evaluation)
    trained = restore_retrieval(job.schema, dataset, run, job.retrieval)
    return evaluate_retrieval(trained, dataset, job.evaluation, job.seed, job.say)


def _inputs(job: EvaluationJob, stage: Stage) -> dict[str, str]:
    path = job.workdir.dataset.manifest
    dataset = read_manifest(path, "dataset")
    require_schema(dataset, job.schema.fingerprint(), path)
    run = read_manifest(job.workdir.stage(stage).manifest, "run")
    settings = fingerprint([unstructure(job.evaluation), job.seed])
    return {"dataset": dataset.fingerprint(), "run": run.fingerprint(), "evaluation": settings}
