"""The training loop, the same for every model and cluster: epochs, checkpoints, validation, early stop."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.disk.layout import StageLayout, StageName
from features.errors import RecstackError
from trainer.data.batches import Batch, BatchPlan
from trainer.training.checkpoints import Checkpoints, best_checkpoints, restoring
from trainer.training.cluster import Cluster
from trainer.training.progress import Metrics, Progress, ProgressCallback

_REPORT_SECONDS = 1.0
_STEPS_BETWEEN_QUESTIONS = 32


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
    examples: BatchPlan
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


class TrainingState(tf.Module):
    """Where a training stands, beside the weights; saved in every checkpoint."""

    def __init__(self) -> None:
        """Before the first step."""
        super().__init__(name="state")
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.step_in_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
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
        InputError: a checkpoint is damaged.
        RecstackError: the loss is not finite any more.
    """
    state, cluster = TrainingState(), plan.cluster
    last, best = _last_checkpoints(plan, state, layout, own), best_checkpoints(plan.model, layout, own)
    with restoring(layout):
        last.restore()
    step_function = make_step(plan, state)
    writer = tf.summary.create_file_writer(str(own.tensorboard))
    report_due, save_due = _every(_REPORT_SECONDS), _every(plan.checkpoint_seconds)
    metrics: Metrics = {}
    while not _is_finished(plan, state):
        for _ in _epoch_steps(plan, state, step_function):
            if report_due():
                state.require_finite_loss()
                progress(_progress(plan, state, metrics))
            # Workers save together, so the chief's clock counts for all; they do not ask for it at every step.
            is_asked = cluster.num_workers == 1 or int(plan.model.step.numpy()) % _STEPS_BETWEEN_QUESTIONS == 0
            if is_asked and cluster.agree({"save": float(save_due())})["save"]:
                last.save(int(plan.model.step.numpy()))
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
    with restoring(layout):
        best.restore()
    return {**_measure(plan), "epochs": float(state.best_epoch.numpy())}


def _measure(plan: TrainingPlan) -> Metrics:
    """The validation's metrics, the same on every worker; empty without a validation."""
    return plan.cluster.agree(dict(plan.validate())) if plan.validate is not None else {}


def _last_checkpoints(plan: TrainingPlan, state: TrainingState, layout: StageLayout, own: StageLayout) -> Checkpoints:
    checkpoint = tf.train.Checkpoint(model=plan.model, optimizer=plan.optimizer, state=state)
    return Checkpoints(checkpoint, layout.last_checkpoints, own.last_checkpoints)


def _is_finished(plan: TrainingPlan, state: TrainingState) -> bool:
    epoch, best = int(state.epoch.numpy()), int(state.best_epoch.numpy())
    is_stale = plan.validate is not None and 0 < plan.patience <= epoch - best
    return epoch >= plan.epochs or is_stale


def make_step(plan: TrainingPlan, state: TrainingState) -> Callable[[Batch], None]:
    """One step of the training as a compiled function of a batch, each replica's part of it apart."""
    model, optimizer, strategy = plan.model, plan.optimizer, plan.cluster.strategy
    variables = model.trainable_variables

    def replica_step(batch: Batch) -> tf.Tensor:
        with tf.GradientTape() as tape:
            total = model.compute_loss(batch, training=True)
            # Of all replicas together, so that any number of them follows the gradient of the same mean.
            weight = tf.distribute.get_replica_context().all_reduce("sum", tf.reduce_sum(batch["weight"]))
            loss = total / weight
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    # Sets of users differ in how many events they hold: without this, each would be compiled anew.
    @tf.function(reduce_retracing=True, autograph=False)
    def step(batch: Batch) -> None:
        losses = strategy.run(replica_step, args=(batch,))
        state.loss.assign_add(tf.cast(strategy.reduce("sum", losses, axis=None), tf.float64))
        state.step_in_epoch.assign_add(1)
        model.step.assign_add(1)

    with strategy.scope():
        optimizer.build(variables)
    compiled: Callable[[Batch], None] = step
    return compiled


def _epoch_steps(plan: TrainingPlan, state: TrainingState, step_function: Callable[[Batch], None]) -> Iterator[None]:
    """Makes the steps that are left of the epoch; yields after each."""
    epoch, first_step = int(state.epoch.numpy()), int(state.step_in_epoch.numpy())
    batches = plan.cluster.strategy.distribute_datasets_from_function(
        lambda context: plan.examples.epoch(epoch, first_step, context)
    )
    for batch in batches:
        step_function(batch)
        yield


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
