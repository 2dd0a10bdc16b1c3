"""The training loop, the same for every model and cluster: epochs, checkpoints, validation, early stop."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.disk.layout import StageLayout, StageName
from features.errors import RecstackError
from trainer.config.training import PrecisionKind
from trainer.data.batches import Batch, EpochPlan, Section
from trainer.layers.products import products_in
from trainer.training.checkpoints import Checkpoints, best_checkpoints, restoring, saved_numbers
from trainer.training.cluster import Cluster
from trainer.training.profiling import ProfiledSteps
from trainer.training.progress import Metrics, Progress, ProgressCallback, Report, unreported
from trainer.training.row_wise import each_row_once
from trainer.training.stopping import StoppedError, never, stop_requests

_REPORT_SECONDS = 1.0
_STEPS_BETWEEN_QUESTIONS = 32
# Beyond it, a coordinator would hold the batches of the whole epoch, and could save only once all of them are used.
_MOST_STEPS_ON_THEIR_WAY = 128
_PRODUCTS: Mapping[PrecisionKind, tf.DType] = {
    "float32": tf.float32,
    "mixed_bfloat16": tf.bfloat16,
    "mixed_float16": tf.float16,
}
_GO_ON, _SAVE, _STOP = 0.0, 1.0, 2.0

ReplicaStep: TypeAlias = Callable[[Batch], tf.Tensor]


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What is trained, on what and for how long."""

    stage: StageName
    """Named in the progress."""
    model: tfrs.Model
    """Has a `step` variable and a `compute_loss` that sums over the examples of the batch."""
    cluster: Cluster
    """The processes and devices within whose scope model and optimizer were made."""
    optimizer: tf.keras.optimizers.Optimizer
    """Follows the gradient of the mean loss."""
    examples: EpochPlan
    """What is trained on."""
    epochs: int
    """Passes over the examples."""
    patience: int
    """Epochs without improvement after which the training ends; 0 never ends it early."""
    validate: Callable[[], Metrics] | None
    """Measures the model; without it, the last epoch's model is kept."""
    objective: str
    """The metric that decides which epoch's model is kept."""
    maximise: bool
    """Whether more of the objective is better."""
    checkpoint_seconds: float
    """Seconds between checkpoints within an epoch."""
    report: Report = field(default=unreported, repr=False)
    """Told in one line what a person should know."""
    precision: PrecisionKind = "float32"
    """In which the products of a step are made."""
    xla: bool = False
    """Whether XLA compiles the steps."""
    profile: bool = False
    """Whether a few steps are traced."""
    saves_when_stopped: bool = False
    """Whether SIGTERM saves before it ends the training."""


class TrainingState(tf.Module):
    """Where a training stands, beside the weights; saved in every checkpoint."""

    def __init__(self, cluster: Cluster | None = None) -> None:
        """Before the first step.

        Args:
            cluster: Whose steps add to the loss; by default this process alone.
        """
        super().__init__(name="state")
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.step_in_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        with (cluster or Cluster()).shared_variables():
            self.loss = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.best = tf.Variable(math.nan, dtype=tf.float64, trainable=False)
        self.best_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)

    def mean_loss(self) -> float:
        """Mean loss of the steps since the epoch began; it stays readable after the epoch's end."""
        return float(self.loss.numpy()) / max(1, int(self.step_in_epoch.numpy()))

    def require_finite_loss(self) -> None:
        """Ends a training that cannot recover.

        Raises:
            RecstackError: the loss is NaN or infinite.
        """
        if not math.isfinite(float(self.loss.numpy())):
            raise RecstackError(
                f"the loss became {self.loss.numpy()} in epoch {int(self.epoch.numpy()) + 1}: the training diverged; "
                "lower optimizer.learning_rate or raise loss.temperature, and look for extreme weights in the data"
            )

    def start_epoch(self) -> None:
        """Forgets the losses of the epoch before."""
        self.loss.assign(0.0)
        self.step_in_epoch.assign(0)

    def improves(self, value: float, *, maximise: bool) -> bool:
        """Whether the value is better than the best so far."""
        best = float(self.best.numpy())
        return math.isnan(best) or (value > best if maximise else value < best)

    def remember_best(self, value: float) -> None:
        """The epoch that has just ended is the best so far."""
        self.best.assign(value)
        self.best_epoch.assign(self.epoch)


def fit(plan: TrainingPlan, layout: StageLayout, own: StageLayout, progress: ProgressCallback) -> Metrics:
    """Trains until the last epoch or until the validation stops improving, and leaves the best weights in the model.

    A run that was interrupted goes on from its last checkpoint and ends as it would have without the interruption.

    Args:
        plan: what to train.
        layout: the stage's directory, whose checkpoints are read.
        own: where this worker writes checkpoints and event files: for the chief the same directory.
        progress: called about once a second.

    Returns:
        The validation's metrics of the model that is kept, and `epochs`, the passes it took.

    Raises:
        InputError: all checkpoints are damaged.
        StoppedError: SIGTERM came; the training is saved.
        RecstackError: the loss is not finite any more, or a checkpoint cannot be written.
    """
    state, cluster = TrainingState(plan.cluster), plan.cluster
    last, best = _last_checkpoints(plan, state, layout, own), best_checkpoints(plan.model, layout, own)
    _resume(plan, last, layout)
    step_function = make_step(plan, state)
    if plan.profile:
        step_function = ProfiledSteps(step_function, _prefixes(plan), own.tensorboard, plan.report)
    writer = tf.summary.create_file_writer(str(own.tensorboard))
    report_due, save_due = _every(_REPORT_SECONDS), _every(plan.checkpoint_seconds)
    metrics: Metrics = {}
    with stop_requests() if plan.saves_when_stopped else nullcontext(never) as is_stopped:
        while not _is_finished(plan, state):
            for _ in _epoch_steps(plan, state, step_function):
                if report_due():
                    state.require_finite_loss()
                    progress(_progress(plan, state, metrics))
                _save_if_due(plan, last, save_due, is_stopped)
            cluster.finish_steps()
            state.require_finite_loss()
            metrics = _measure(plan)
            _write_summary(writer, plan, state, metrics)
            state.epoch.assign_add(1)
            value = metrics.get(plan.objective, math.nan)
            if plan.validate is None or state.improves(value, maximise=plan.maximise):
                state.remember_best(value)
                best.save(int(state.epoch.numpy()))
            progress(_progress(plan, state, metrics))
            state.start_epoch()
            last.save(int(plan.model.step.numpy()))
    cluster.wait()
    _restore_best(state, best, layout)
    return {**_measure(plan), "epochs": float(state.best_epoch.numpy())}


def _resume(plan: TrainingPlan, last: Checkpoints, layout: StageLayout) -> None:
    """Restores the newest checkpoint that the chief can read, if there is one."""
    found = last.newest_sound(plan.report) if plan.cluster.is_chief else None
    number = int(plan.cluster.agree({"checkpoint": -1.0 if found is None else float(found)})["checkpoint"])
    if number >= 0:
        with restoring(layout):
            last.restore(number)
        last.remove_after(number)


def _restore_best(state: TrainingState, best: Checkpoints, layout: StageLayout) -> None:
    """Restores the epoch that validation liked best, and removes later ones, which were left by a lost attempt.

    A worker that does not see the chief's files stays at the last epoch; the trained model is the chief's.
    """
    numbers, epoch = saved_numbers(layout.best_checkpoints), int(state.best_epoch.numpy())
    if not numbers:
        return
    with restoring(layout):
        number = epoch if epoch in numbers else numbers[-1]
        best.restore(number)
    best.remove_after(number)


def _save_if_due(
    plan: TrainingPlan, last: Checkpoints, save_due: Callable[[], bool], is_stopped: Callable[[], bool]
) -> None:
    """Saves when the chief's clock says so, or when a worker was asked to end, and then ends the training.

    Workers save together, and do not ask each other at every step.

    Raises:
        StoppedError: A worker was asked to end.
    """
    cluster = plan.cluster
    if cluster.num_workers > 1 and int(plan.model.step.numpy()) % _STEPS_BETWEEN_QUESTIONS:
        return
    wish = _STOP if is_stopped() else _SAVE if cluster.is_chief and save_due() else _GO_ON
    agreed = max(cluster.of_all(wish))
    if agreed == _GO_ON:
        return
    cluster.finish_steps()
    step = int(plan.model.step.numpy())
    last.save(step)
    if agreed == _STOP:
        raise StoppedError(f"asked to end after step {step}, which is saved; run the same command again to go on")


def _measure(plan: TrainingPlan) -> Metrics:
    """The validation's metrics, the same on every worker; empty without a validation."""
    return plan.cluster.agree(dict(plan.validate())) if plan.validate is not None else {}


def _last_checkpoints(plan: TrainingPlan, state: TrainingState, layout: StageLayout, own: StageLayout) -> Checkpoints:
    checkpoint = tf.train.Checkpoint(model=plan.model, optimizer=plan.optimizer, state=state)
    # Two, so that one is left where the newest is damaged.
    return Checkpoints(checkpoint, layout.last_checkpoints, own.last_checkpoints, kept=2)


def _is_finished(plan: TrainingPlan, state: TrainingState) -> bool:
    epoch, best = int(state.epoch.numpy()), int(state.best_epoch.numpy())
    is_stale = plan.validate is not None and 0 < plan.patience <= epoch - best
    return epoch >= plan.epochs or is_stale


def make_step(plan: TrainingPlan, state: TrainingState) -> Callable[[Batch], None]:
    """One step of the training as a compiled function of a batch, each replica's part of it apart."""
    model, optimizer, strategy = plan.model, plan.optimizer, plan.cluster.strategy
    variables = model.trainable_variables

    @_compiled_by_xla(plan.xla)
    def replica_step(batch: Batch) -> tf.Tensor:
        loss, gradients = _gradients(plan, batch)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss

    # Sets of users differ in how many events they hold: without this, each would be compiled anew.
    @tf.function(reduce_retracing=True, autograph=False)
    def step(batch: Batch) -> None:
        losses = strategy.run(replica_step, args=(batch,))
        state.loss.assign_add(tf.cast(strategy.reduce("sum", losses, axis=None), tf.float64))
        model.step.assign_add(1)

    with strategy.scope():
        optimizer.build(variables)
    compiled: Callable[[Batch], None] = step
    coordinator = plan.cluster.coordinator
    return compiled if coordinator is None else lambda batch: coordinator.schedule(compiled, args=(batch,))


def _compiled_by_xla(wanted: bool) -> Callable[[ReplicaStep], ReplicaStep]:
    """A decorator: XLA compiles the function if `wanted`; otherwise it stays as it is."""
    if not wanted:
        return lambda function: function
    return tf.function(jit_compile=True, reduce_retracing=True, autograph=False)  # type: ignore[no-any-return]  # an untyped decorator


def _gradients(plan: TrainingPlan, batch: Batch) -> tuple[tf.Tensor, list[tf.Tensor | tf.IndexedSlices | None]]:
    """This replica's part of the mean loss, and its gradients."""
    model, optimizer = plan.model, plan.optimizer
    scales = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    with products_in(_PRODUCTS[plan.precision]):
        with tf.GradientTape() as tape:
            total = model.compute_loss(batch, training=True)
            # Of all replicas together, so that any number of them follows the gradient of the same mean.
            weight = tf.distribute.get_replica_context().all_reduce("sum", tf.reduce_sum(batch["weight"]))
            loss = total / weight
            target = optimizer.get_scaled_loss(loss) if scales else loss
        gradients = tape.gradient(target, model.trainable_variables)
    if plan.cluster.num_replicas > 1:  # replicas exchange a row once, and not each time that it was looked up
        gradients = [each_row_once(gradient) for gradient in gradients]
    return loss, optimizer.get_unscaled_gradients(gradients) if scales else gradients


def _prefixes(plan: TrainingPlan) -> dict[str, Callable[[Batch], tf.Tensor]]:
    """What a step does before the update, up to the end of each part; one device has nothing to exchange."""
    parts = {"forward and backward": _make_gradients(plan)}
    is_shared = plan.cluster.num_replicas > 1
    return parts | ({"exchange of gradients": _make_gradients(plan, summed=True)} if is_shared else {})


def _make_gradients(plan: TrainingPlan, *, summed: bool = False) -> Callable[[Batch], tf.Tensor]:
    """The gradients as a compiled function, `summed` over all replicas; returns a number that all of it goes into."""
    strategy, variables = plan.cluster.strategy, plan.model.trainable_variables

    @_compiled_by_xla(plan.xla)
    def replica_sum(batch: Batch) -> tf.Tensor:
        loss, gradients = _gradients(plan, batch)
        if summed:
            optimizer = getattr(plan.optimizer, "inner_optimizer", plan.optimizer)
            pairs = optimizer.aggregate_gradients(zip(gradients, variables, strict=True))
            gradients = [gradient for gradient, _ in pairs]
        known = (each for each in gradients if each is not None)
        values = (each.values if isinstance(each, tf.IndexedSlices) else each for each in known)
        return loss + tf.add_n([tf.reduce_sum(each) for each in values])

    @tf.function(reduce_retracing=True, autograph=False)
    def gradients(batch: Batch) -> tf.Tensor:
        return strategy.reduce("sum", strategy.run(replica_sum, args=(batch,)), axis=None)

    compiled: Callable[[Batch], tf.Tensor] = gradients
    return compiled


def _epoch_steps(plan: TrainingPlan, state: TrainingState, step_function: Callable[[Batch], None]) -> Iterator[None]:
    """Makes the steps that are left of the epoch, or hands them to workers; yields after each."""
    epoch, first_step = int(state.epoch.numpy()), int(state.step_in_epoch.numpy())
    numbers = count(1)
    for section in plan.examples.sections(epoch, first_step):
        for batch in batches_of(plan.cluster, section):
            step_function(batch)
            # Not in the step: parameter servers make the step of a lost worker again.
            state.step_in_epoch.assign_add(1)
            if next(numbers) % _MOST_STEPS_ON_THEIR_WAY == 0:
                plan.cluster.finish_steps()
            yield


def batches_of(cluster: Cluster, section: Section) -> Iterable[Batch]:
    """The batches of a section, for all replicas. A coordinator reads them itself and sends each to a worker."""
    if cluster.coordinator is not None:
        batches: Iterable[Batch] = section(tf.distribute.InputContext())
        return batches
    distributed: Iterable[Batch] = cluster.strategy.distribute_datasets_from_function(section)
    return distributed


def _every(seconds: float) -> Callable[[], bool]:
    """Returns a timer that is due at most once every `seconds`."""
    last = time.monotonic()

    def is_due() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last < seconds:
            return False
        last = now
        return True

    return is_due


def _progress(plan: TrainingPlan, state: TrainingState, metrics: Metrics) -> Progress:
    return Progress(
        stage=plan.stage,
        step=int(plan.model.step.numpy()),
        total_steps=plan.epochs * plan.examples.steps_per_epoch,
        epoch=int(state.epoch.numpy()),
        loss=state.mean_loss(),
        metrics=metrics,
    )


def _write_summary(
    writer: tf.summary.SummaryWriter, plan: TrainingPlan, state: TrainingState, metrics: Metrics
) -> None:
    with writer.as_default(step=int(plan.model.step.numpy())):
        tf.summary.scalar("loss", state.mean_loss())
        tf.summary.scalar("learning_rate", plan.optimizer.learning_rate)
        for name, value in metrics.items():
            tf.summary.scalar(f"validation/{name}", value)
    writer.flush()
