"""Cross-validation with a rolling origin: each fold is prepared, trained and judged, then all are pooled."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.disk.files import in_use, write_text_atomically
from features.errors import ConfigError, InputError
from recstack import stages
from recstack.config import StackConfig

if TYPE_CHECKING:
    from trainer.evaluation.folds import JudgedFold


def evaluate_folds(stack: StackConfig, number: int, progress: stages.Report = stages.silent) -> Mapping[str, Any]:
    """Trains retrieval on each of so many folds, the latest first, and judges it beside the baselines.

    Fold n lacks the n latest test shares of the events (`pipeline.split.fold`). It has a folder of its own below
    `workdir`, so what an interrupted cross-validation has prepared, trained and judged is not made again, and the
    dataset and runs of the recommender itself stay as they are.

    Args:
        stack: the configuration.
        number: how many folds, at least 2.
        progress: told in one line what is being done.

    Returns:
        What `trainer.evaluation.folds.pool` finds, with `split`, `cutoffs`, `confidence` and `seed`; also written to
        `folds/metrics.json`.

    Raises:
        InputError: there are fewer than 2 folds, or so many that no events are left for training, a table is not as it
            must be, or a fold holds nothing to judge by.
        RecstackError: a preparation or a training failed.
    """
    if number < 2:
        raise InputError(f"--folds {number}: expected at least 2; without it the dataset's own split is judged")
    try:
        folds = [_fold(stack, each) for each in range(number)]
    except ConfigError as error:
        raise InputError(f"--folds {number}: too many, since {error}; ask for fewer, or for smaller shares") from error
    from trainer.evaluation.folds import pool

    judged = []
    for place, fold in enumerate(folds):
        kept = stack.layout.folds.judged(place)
        judged.append(_judge(fold, kept, f"fold {place + 1} of {number}", progress))
    content = {
        "split": stack.evaluation.split,
        "cutoffs": list(stack.evaluation.cutoffs),
        "confidence": stack.evaluation.confidence,
        "seed": stack.seed,
        **pool(judged, stack.evaluation),
    }
    write_text_atomically(stack.layout.folds.metrics, json.dumps(content, indent=1) + "\n")
    return content


def _fold(stack: StackConfig, number: int) -> StackConfig:
    split = replace(stack.pipeline.split, fold=stack.pipeline.split.fold + number)
    pipeline = replace(stack.pipeline, split=split, report=False)
    # A run to start from would know events of the fold's test.
    return replace(stack, pipeline=pipeline, workdir=stack.layout.fold(number).root, start_from="")


def _judge(fold: StackConfig, kept: Path, title: str, progress: stages.Report) -> "JudgedFold":
    from trainer.evaluation.folds import judged_fold, read_judged, write_judged
    from trainer.evaluation.job import EvaluationJob, evaluation_inputs
    from trainer.evaluation.retrieval import judge_models
    from trainer.restore import restore
    from trainer.stage import stages_of

    progress(f"{title}: prepare")
    stages.prepare(fold, progress)
    progress(f"{title}: train")
    stages.train(fold, "retrieval")
    run, stage = stages.run_with(fold, ("retrieval",)), stages_of(fold)["retrieval"]
    context = stages.stage_context(fold, run)
    inputs = evaluation_inputs(EvaluationJob(context=context, config=fold.evaluation), stage)
    if (known := read_judged(kept, inputs)) is not None:
        progress(f"{title}: evaluated before, nothing to do")
        return known
    progress(f"{title}: evaluate on the {fold.evaluation.split} split")
    with in_use(run.root):
        trained = restore(context, stage)
        judged = judge_models(trained, context.dataset, fold.evaluation, fold.seed, progress)
    found = judged_fold(trained, judged, fold.evaluation)
    write_judged(kept, found, inputs)
    return found
