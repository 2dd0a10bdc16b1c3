"""What a trial does: it trains retrieval in a run of its own and is judged by the validation of that training."""

import gc
from typing import cast

import tensorflow as tf

from features.errors import RecstackError
from recstack import stages
from recstack.config import StackConfig
from recstack.tuning.search import TrialReport
from trainer.data.encoded_dataset import SharedDataset, encode_dataset
from trainer.retrieval.stage import RetrievalStage
from trainer.training.cluster import make_cluster
from trainer.training.progress import Progress, ProgressCallback


class TrainRetrieval:
    """Trains configurations of one dataset, which is read and encoded once."""

    def __init__(self, base: StackConfig) -> None:
        """Reads the dataset.

        Raises:
            InputError: it is missing, damaged or of another schema.
        """
        base.require_dataset()
        dataset = encode_dataset(base.features, base.layout.dataset)
        self._dataset = SharedDataset(encoder=dataset.encoder, candidates=dataset.candidates)

    def __call__(self, stack: StackConfig, report: TrialReport) -> float:
        """The objective of the best epoch on validation.

        Raises:
            RecstackError: the training diverged, or there is nothing to validate by.
        """
        run = stages.own_run(stack)
        known = report.run(run.id, is_new=not run.root.exists())
        if known is not None:
            return known
        context = stages.stage_context(stack, run, _watch(stack, report), make_cluster(stack.strategy))
        try:
            result = stages.train_in(context, stack, "retrieval", self._dataset)
        finally:
            tf.keras.backend.clear_session()
            gc.collect()
        quality = result.manifest.metrics.get(RetrievalStage.objective)
        if quality is None:
            raise RecstackError("the validation split has no events to judge by; change [pipeline.split]")
        return cast(float, quality)


def _watch(stack: StackConfig, report: TrialReport) -> ProgressCallback:
    """Reports each epoch's quality; a training that is stopped by it goes on from its last checkpoint."""
    best, epochs = float("-inf"), stack.retrieval.epochs

    def watch(progress: Progress) -> None:
        nonlocal best
        if progress.metrics:
            best = max(best, progress.metrics[RetrievalStage.objective])
            report.quality(progress.epoch / epochs, best)
        report.require_time()

    return watch
