"""What a trial does: it trains a stage in a run of its own and is judged by the validation of that training."""

import gc
from pathlib import Path

import tensorflow as tf

from features.disk.files import exclusive, link_tree, staged_directory
from features.disk.layout import RunLayout
from features.disk.searches import TuningLayout
from features.errors import RecstackError
from recstack import stages
from recstack.config import StackConfig
from recstack.tuning.search import TrialReport
from recstack.tuning.settings import Searched
from trainer.data.encoded_dataset import SharedDataset, encode_dataset
from trainer.stage import stages_of
from trainer.training.cluster import make_cluster
from trainer.training.progress import Metrics, Progress, ProgressCallback


class TrainStage:
    """Trains a stage by configurations of one dataset, which is read and encoded once."""

    def __init__(self, base: StackConfig, searched: Searched, layout: TuningLayout) -> None:
        """Reads the dataset.

        Args:
            base: where the search starts.
            searched: the stage.
            layout: the search's directory.

        Raises:
            InputError: the dataset is missing, damaged or of another schema.
        """
        base.require_dataset()
        dataset = encode_dataset(base.features, base.layout.dataset)
        self._dataset = SharedDataset(encoder=dataset.encoder, candidates=dataset.candidates)
        self._searched, self._layout = searched, layout
        stage = stages_of(base)[searched.stage]
        self._objective, self._sign = stage.objective, 1.0 if stage.maximise else -1.0

    def __call__(self, stack: StackConfig, report: TrialReport) -> float:
        """The objective of the best epoch on validation, with the sign turned where less is better.

        Raises:
            RecstackError: the training diverged, or there is nothing to validate by.
        """
        run, name = stages.own_run(stack), self._searched.stage
        known = report.run(run.id, is_new=not run.root.exists())
        if known is not None:
            return known
        kept = self._layout.kept / str(stack.seed)
        if self._searched.kept:
            self._share(kept, self._kept_in(run))
        context = stages.stage_context(stack, run, self._watch(stack, report), make_cluster(stack.strategy))
        try:
            result = stages.train_in(context, stack, name, self._dataset)
        finally:
            tf.keras.backend.clear_session()
            gc.collect()
        if self._searched.kept:
            self._share(self._kept_in(run), kept)
        quality = self._quality(result.manifest.metrics)
        if quality is None:
            raise RecstackError("the validation split has no events to judge by; change [pipeline.split]")
        return quality

    def _kept_in(self, run: RunLayout) -> Path:
        return run.stage(self._searched.stage).directory / self._searched.kept

    def _share(self, source: Path, target: Path) -> None:
        """Links the files of a folder into another; does nothing if the source is missing or the target exists."""
        with exclusive(self._layout.kept, "recstack tune", wait=True):  # against other workers
            if not source.is_dir() or target.exists():
                return
            with staged_directory(target) as staging:
                for path in source.iterdir():
                    link_tree(path, staging / path.name)

    def _quality(self, metrics: Metrics) -> float | None:
        value = metrics.get(self._objective)
        return None if value is None else self._sign * value

    def _watch(self, stack: StackConfig, report: TrialReport) -> ProgressCallback:
        """Reports each epoch's quality; a training that is stopped by it goes on from its last checkpoint."""
        best, epochs = float("-inf"), stages_of(stack)[self._searched.stage].config.epochs

        def watch(progress: Progress) -> None:
            nonlocal best
            # Other stages that the training begins with are reported too.
            quality = self._quality(progress.metrics) if progress.stage == self._searched.stage else None
            if quality is not None:
                best = max(best, quality)
                report.quality(progress.epoch / epochs, best)
            report.require_time()

        return watch
