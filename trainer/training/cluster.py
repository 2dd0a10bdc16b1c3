"""The processes and devices that train together, and what this one of them may do."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import tensorflow as tf

from features.disk.files import exclusive
from features.errors import ConfigError, InputError, RecstackError, first_line
from trainer.config.training import StrategyName
from trainer.training.progress import Metrics, ProgressCallback, silent

_TF_CONFIG_EXPECTED = (
    "the environment variable TF_CONFIG to name this worker and all others, such as "
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}; '
    "`recstack train --launch 2` starts two workers on this machine"
)


_SERVERS_EXPECTED = (
    "the environment variable TF_CONFIG to name one chief, workers and parameter servers, such as "
    '{"cluster": {"chief": ["host0:2222"], "worker": ["host1:2222"], "ps": ["host2:2222"]}, "task": {"type": "chief", '
    '"index": 0}}; `recstack train --launch 2 --servers 1` starts them on this machine'
)
_TPU_EXPECTED = "a TPU at this machine, or the environment variable TPU_NAME to name one, and a TensorFlow built for it"
_THREADS = "TF_NUM_INTEROP_THREADS"
# Smaller weights stay whole on one server.
_LEAST_PART_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One process, a worker, among those that train together; by default it is alone.

    All workers make the same steps. One of them, the chief, writes the run, holds its lock and reports progress.
    """

    strategy: tf.distribute.Strategy = field(default_factory=tf.distribute.get_strategy, repr=False)
    """How the work is spread over devices; models and optimizers are made within its scope."""
    num_workers: int = 1
    """Processes that train together."""
    worker: int = 0
    """Which of them this is, from 0."""
    coordinator: tf.distribute.coordinator.ClusterCoordinator | None = field(default=None, repr=False)
    """Hands the steps to the workers of parameter servers, which make them whenever they can; None: all workers make
    each step together. The coordinator is alone in what the other fields say."""

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.worker == 0

    @property
    def num_replicas(self) -> int:
        """Equal parts of a batch, one per device, over all workers."""
        return int(self.strategy.num_replicas_in_sync)

    @contextmanager
    def writable(self, directory: Path) -> Iterator[Path]:
        """Yields where this process writes what belongs in `directory`.

        For the chief this is the directory itself. The other workers have to write checkpoints too, since saving is a
        step that all workers make together; theirs go to a temporary directory that is removed when the block ends.
        """
        if self.is_chief:
            yield directory
            return
        with TemporaryDirectory(prefix=f"recstack-worker-{self.worker}-") as temporary:
            yield Path(temporary) / directory.name

    @contextmanager
    def exclusive(self, directory: Path, work: str, *, wait: bool = False) -> Iterator[None]:
        """Keeps other clusters out of the directory while the block runs; the chief holds the lock for all workers.

        Raises:
            InputError: another process is in its block, or the directory cannot be made.
        """
        if not self.is_chief:
            yield
            return
        with exclusive(directory, work, wait=wait):
            yield

    def wait(self) -> None:
        """Returns once every worker has called it, such as where one reads what the chief has just written."""
        self.agree({"waiting": 0.0})

    @contextmanager
    def together(self) -> Iterator[None]:
        """Says in one line when another worker has ended in the middle of the block.

        Raises:
            RecstackError: A worker cannot be reached any more.
        """
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError) as error:
            if self.coordinator is not None:
                raise RecstackError(
                    f"a parameter server, or the last worker, cannot be reached any more ({first_line(error)}); start "
                    "all again to go on from the last checkpoint"
                ) from error
            if self.num_workers == 1:
                raise
            reason = str(error.message).strip().splitlines()[-1]
            raise RecstackError(
                f"worker {self.worker} lost one of the other {self.num_workers - 1} ({reason}); start all again "
                "to go on from the last checkpoint"
            ) from error

    def finish_steps(self) -> None:
        """Returns once all steps that were handed to workers are made."""
        if self.coordinator is not None:
            self.coordinator.join()

    def shared_variables(self) -> AbstractContextManager[object]:
        """Variables made in this block are those that steps on other processes may change."""
        return nullcontext() if self.coordinator is None else self.strategy.scope()

    def reporting(self, progress: ProgressCallback) -> ProgressCallback:
        """The callback for the chief, and a silent one for the other workers."""
        return progress if self.is_chief else silent

    def agree(self, metrics: Metrics) -> Metrics:
        """The chief's metrics on every worker, so that all of them keep the same epoch and stop after the same one.

        Args:
            metrics: what this worker measured; all workers measure the same names.
        """
        if self.num_workers == 1:
            return metrics
        return dict(zip(metrics, self._of_chief(list(metrics.values())), strict=True))

    def of_all(self, value: float) -> list[float]:
        """What each worker has, by its number; all workers call it together."""
        if self.num_workers == 1:
            return [value]
        own = [value if worker == self.worker else 0.0 for worker in range(self.num_workers)]
        return self._summed(own, self._sum_of_workers)

    def shards(self, files: Sequence[Path]) -> Sequence[Path]:
        """Those of the files that this worker reads: no other worker reads them.

        Raises:
            InputError: There are fewer files than workers.
        """
        if len(files) < self.num_workers:
            raise InputError(
                f"{files[0].parent}: {len(files)} shards found, at least one for each of {self.num_workers} workers "
                "expected; raise pipeline.num_shards and run `recstack prepare` again"
            )
        return files[self.worker :: self.num_workers]

    def _of_chief(self, values: list[float]) -> list[float]:
        """The chief's values, summed over the replicas of all workers, of which only the chief's first counts."""
        return self._summed(values, self._sum_of_first)

    def _summed(self, values: list[float], sum_up: Callable[[tf.Tensor], tf.Tensor]) -> list[float]:
        summed = self.strategy.run(sum_up, args=(tf.constant(values, tf.float64),))
        return [float(value) for value in self.strategy.experimental_local_results(summed)[0].numpy()]

    @cached_property
    def _sum_of_workers(self) -> tf.types.experimental.PolymorphicFunction:
        """Each worker's values count once, however many replicas it has."""
        replicas = max(1, self.num_replicas // self.num_workers)

        def share(values: tf.Tensor) -> tf.Tensor:
            replica = tf.distribute.get_replica_context()
            first = tf.equal(replica.replica_id_in_sync_group % replicas, 0)
            return replica.all_reduce("sum", tf.where(first, values, 0.0))

        return tf.function(share, reduce_retracing=True, autograph=False)

    @cached_property
    def _sum_of_first(self) -> tf.types.experimental.PolymorphicFunction:
        """Compiled once: the workers agree at every step of a training."""

        def share(values: tf.Tensor) -> tf.Tensor:
            replica = tf.distribute.get_replica_context()
            first = tf.equal(replica.replica_id_in_sync_group, 0)
            return replica.all_reduce("sum", tf.where(first, values, 0.0))

        return tf.function(share, reduce_retracing=True, autograph=False)


@cache
def _mirrored() -> Cluster:
    """One for all trainings of the process: TensorFlow would mistake a second one's exchanges for the first one's."""
    devices = [device.name for device in tf.config.list_logical_devices("GPU")]
    devices = devices or [device.name for device in tf.config.list_logical_devices("CPU")]
    return Cluster(strategy=tf.distribute.MirroredStrategy(devices))


@cache
def _multi_worker() -> Cluster:
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        tasks = resolver.cluster_spec().as_dict()
        workers = [(role, index) for role in ("chief", "worker") for index in range(len(tasks.get(role, ())))]
        worker = workers.index((resolver.task_type, resolver.task_id))
    except (ValueError, TypeError) as error:
        raise ConfigError("strategy", "multi_worker_mirrored", _TF_CONFIG_EXPECTED) from error
    strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    return Cluster(strategy=strategy, num_workers=len(workers), worker=worker)


@cache
def _parameter_servers() -> Cluster:
    """The coordinator's cluster. A worker or a server serves here until it is ended."""
    # Without it, TensorFlow waits for a lost process instead of giving its steps to another one.
    os.environ.setdefault("GRPC_FAIL_FAST", "use_caller")
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        tasks = resolver.cluster_spec().as_dict()
        counts = {role: len(tasks.get(role, ())) for role in ("chief", "worker", "ps")}
    except (ValueError, TypeError) as error:
        raise ConfigError("strategy", "parameter_server", _SERVERS_EXPECTED) from error
    if counts["chief"] != 1 or not counts["worker"] or not counts["ps"] or resolver.task_type not in counts:
        raise ConfigError("strategy", "parameter_server", _SERVERS_EXPECTED)
    if os.environ.get(_THREADS) == "1":
        raise InputError(f"{_THREADS}=1: parameter servers never make a step with one thread; unset it")
    if resolver.task_type != "chief":
        server = tf.distribute.Server(
            resolver.cluster_spec(), job_name=resolver.task_type, task_index=resolver.task_id, protocol="grpc"
        )
        server.join()
        sys.exit(0)
    partitioner = tf.distribute.experimental.partitioners.MinSizePartitioner(
        min_shard_bytes=_LEAST_PART_BYTES, max_shards=counts["ps"]
    )
    strategy = tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=partitioner)
    return Cluster(strategy=strategy, coordinator=tf.distribute.coordinator.ClusterCoordinator(strategy))


@cache
def _tpu() -> Cluster:
    """All cores of a TPU: of this machine, or of the one that `TPU_NAME` names."""
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        raise ConfigError("strategy", "tpu", f"{_TPU_EXPECTED} ({first_line(error)})") from error
    return Cluster(strategy=tf.distribute.TPUStrategy(resolver))


_CLUSTERS: Mapping[StrategyName, Callable[[], Cluster]] = {
    "default": Cluster,
    "mirrored": _mirrored,
    "multi_worker_mirrored": _multi_worker,
    "parameter_server": _parameter_servers,
    "tpu": _tpu,
}


def make_cluster(name: StrategyName) -> Cluster:
    """What this process trains with: the strategy of that name over its devices, and over those of other processes.

    `multi_worker_mirrored` returns once all processes that `TF_CONFIG` names have called it. `parameter_server` returns
    to the coordinator alone; its workers and servers serve until they are ended. No TensorFlow operation may have run
    before. `tpu` takes all cores of one TPU, of this machine or that which `TPU_NAME` names.

    Raises:
        ConfigError: There is no such strategy, `TF_CONFIG` does not name the workers, or there is no TPU.
        InputError: Parameter servers with one thread, which would wait for ever.
    """
    if name not in _CLUSTERS:
        raise ConfigError("strategy", name, f"one of {', '.join(_CLUSTERS)}")
    return _CLUSTERS[name]()
