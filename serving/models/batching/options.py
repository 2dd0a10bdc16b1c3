"""The parameters of batching."""

from dataclasses import dataclass
from typing import Any

from serving.errors import invalid_argument


@dataclass(frozen=True, kw_only=True)
class BatchingOptions:
    """`BatchingParameters`, with the real server's defaults for unset fields."""

    max_batch_size: int = 1000
    """Maximum number of rows in a run."""
    timeout_seconds: float = 0.0
    """Time that a batch waits for more rows."""
    max_enqueued_batches: int = 10
    """Maximum number of batches that wait, for each signature of each version."""
    num_batch_threads: int = 1
    """Number of batches that run concurrently."""
    allowed_batch_sizes: tuple[int, ...] = ()
    """Sizes that a run may have; a batch is padded to the next one by repeating a row."""
    pad_variable_length_inputs: bool = False
    """Whether rows with different inner shapes are padded with zeros to the longest."""
    split_large: bool = False
    """Whether a call with more than `max_execution_batch_size` rows is split into several runs."""
    max_execution_batch_size: int = 1000
    """Maximum number of rows in a run if large calls are split."""
    thread_pool_name: str = "batch_threads"
    """Label of the metrics."""

    def __post_init__(self) -> None:
        sizes = self.allowed_batch_sizes
        if list(sizes) != sorted(set(sizes)):
            raise invalid_argument("allowed_batch_sizes entries must be in increasing order")
        if sizes and sizes[-1] != self.run_limit:
            raise invalid_argument(
                f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {sizes[-1]}; expected "
                f"{self.run_limit}"
            )
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads", "max_execution_batch_size"):
            if (value := getattr(self, name)) < 1:
                raise invalid_argument(f"{name} must be at least 1, got {value}")

    @property
    def run_limit(self) -> int:
        """Maximum number of rows in a run."""
        return self.max_execution_batch_size if self.split_large else self.max_batch_size

    @classmethod
    def from_proto(cls, parameters: Any, cpus: int) -> "BatchingOptions":
        """Reads a `BatchingParameters` message; unset fields keep their defaults, and threads default to the CPUs."""
        given = {name: getattr(parameters, name).value for name in _WRAPPED if parameters.HasField(name)}
        largest = given.get("max_batch_size", cls.max_batch_size)
        return cls(
            max_batch_size=largest,
            timeout_seconds=given.get("batch_timeout_micros", 0) / 1e6,
            max_enqueued_batches=given.get("max_enqueued_batches", cls.max_enqueued_batches),
            num_batch_threads=given.get("num_batch_threads", cpus),
            allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
            pad_variable_length_inputs=parameters.pad_variable_length_inputs,
            split_large=given.get("enable_large_batch_splitting", False),
            max_execution_batch_size=given.get("max_execution_batch_size", largest),
            thread_pool_name=given.get("thread_pool_name", cls.thread_pool_name),
        )


_WRAPPED = (
    "max_batch_size",
    "batch_timeout_micros",
    "max_enqueued_batches",
    "num_batch_threads",
    "thread_pool_name",
    "enable_large_batch_splitting",
    "max_execution_batch_size",
)
