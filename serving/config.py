"""The server's flags: TensorFlow Serving's under their exact names, then recstack's own.

Imports no TensorFlow, so that `recstack --help` and the parsing of a command line are fast.
"""

import math
import os
from dataclasses import dataclass

from features.errors import ConfigError

# Flags for what this server cannot do. They are refused, because ignoring them would serve something else.
REFUSED = {
    "use_alts_credentials": "ALTS needs Google's network; use --ssl_config_file",
    "platform_config_file": "the only platform is 'tensorflow'; use the tensorflow_* and batching flags",
    "thread_pool_factory_config_file": "only TensorFlow's thread pools are supported; use tensorflow_*_op_parallelism",
    "mixed_precision": "export the model in the precision you want",
}


_PORT = (0, 65_535, "a TCP port, 0 to 65535")
_SHARE = (0.0, 1.0, "a share, 0 to 1")
_THREADS = (0, 100_000, "0 or more threads")
_LIMIT = (0, math.inf, "0 for no limit, or more")
_BOUNDS: dict[str, tuple[float, float, str]] = {
    "port": _PORT,
    "rest_api_port": _PORT,
    "rest_api_num_threads": _THREADS,
    "rest_api_timeout_in_ms": (1, math.inf, "1 or more milliseconds"),
    "grpc_max_threads": _THREADS,
    "num_load_threads": _THREADS,
    "num_unload_threads": _THREADS,
    "max_num_load_retries": (0, math.inf, "0 or more retries"),
    "load_retry_interval_micros": (0, math.inf, "0 or more microseconds"),
    "num_request_iterations_for_warmup": (1, math.inf, "1 or more iterations"),
    "num_tflite_pools": (1, 1000, "1 or more pools"),
    "num_tflite_interpreters_per_pool": (1, 1000, "1 or more interpreters"),
    "per_process_gpu_memory_fraction": _SHARE,
    "request_log_sampling_rate": _SHARE,
    "request_log_file_bytes": (1, math.inf, "1 or more bytes"),
    "shadow_sampling_rate": _SHARE,
    "max_requests_per_second_per_client": _LIMIT,
    "max_concurrent_requests": _LIMIT,
    "max_request_bytes": _LIMIT,
    "remote_poll_wait_seconds": (0.1, math.inf, "0.1 or more seconds"),
    "workers": (1, 1000, "1 or more processes"),
}


def _four_per_cpu() -> int:
    return 4 * len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """The flags of one server. Unless stated otherwise, a flag means what it means for `tensorflow_model_server`."""

    port: int = 8500
    """TCP port of the gRPC API; 0 for none."""
    grpc_socket_path: str = ""
    """Path of a unix socket on which the gRPC API listens as well; empty for none."""
    rest_api_port: int = 0
    """TCP port of the REST API; 0 for none. Must differ from `port`."""
    rest_api_num_threads: int = 0
    """Threads for REST calls; 0 means four per CPU."""
    rest_api_timeout_in_ms: int = 30_000
    """Milliseconds after which a REST call is answered 504 and cancelled."""
    rest_api_enable_cors_support: bool = False
    """Adds CORS headers to REST responses and answers preflight requests."""
    enable_batching: bool = False
    """Runs concurrent calls of one signature as one batch."""
    batching_parameters_file: str = ""
    """File with `BatchingParameters` in text format; needs `enable_batching`."""
    enable_per_model_batching_parameters: bool = False
    """Lets `batching_params.pbtxt` in a version directory override the batching parameters for that version."""
    allow_version_labels_for_unavailable_models: bool = False
    """Allows a label that is not in use yet to name a version that is not loaded."""
    model_config_file: str = ""
    """File with a `ModelServerConfig` in text format; overrides `model_name` and `model_base_path`."""
    model_config_file_poll_wait_seconds: int = 0
    """Seconds between two polls of `model_config_file`; 0 reads it once."""
    model_name: str = "default"
    """Name of the single model if there is no `model_config_file`."""
    model_base_path: str = ""
    """Absolute path of the directory with the single model's version directories, or its URL in an object store."""
    num_load_threads: int = 0
    """Number of versions that load concurrently; 0 means one."""
    num_unload_threads: int = 0
    """Number of versions that unload concurrently; 0 means one."""
    max_num_load_retries: int = 5
    """Number of retries of a failed load before the version ends."""
    load_retry_interval_micros: int = 60_000_000
    """Microseconds between two attempts to load a version."""
    file_system_poll_wait_seconds: int = 1
    """Seconds between two polls for new versions; 0 polls once, a negative number never."""
    flush_filesystem_caches: bool = True
    """Accepted without effect: TensorFlow caches nothing of local files."""
    tensorflow_session_parallelism: int = 0
    """Threads of both thread pools of a session; 0 lets TensorFlow choose. The next two flags override it."""
    tensorflow_intra_op_parallelism: int = 0
    """Threads within one operation; 0 lets TensorFlow choose."""
    tensorflow_inter_op_parallelism: int = 0
    """Threads that run operations concurrently; 0 lets TensorFlow choose."""
    tensorflow_session_config_file: str = ""
    """File with a `tensorflow.ConfigProto` in text format for every session; overrides the three flags above."""
    per_process_gpu_memory_fraction: float = 0.0
    """Share of each GPU's memory to allocate, 0 to 1; 0 lets TensorFlow choose."""
    use_alts_credentials: bool = False
    """Refused, for the reason in `REFUSED`."""
    ssl_config_file: str = ""
    """File with an `SSLConfig` in text format (key and certificates as PEM): serves gRPC over TLS."""
    platform_config_file: str = ""
    """Refused, for the reason in `REFUSED`."""
    saved_model_tags: str = "serve"
    """Tags of the MetaGraph to load, separated by commas."""
    grpc_channel_arguments: str = ""
    """Channel arguments of the gRPC server, `key=value`, separated by commas."""
    grpc_max_threads: int = 0
    """Threads for gRPC calls; 0 means four per CPU."""
    enable_model_warmup: bool = True
    """Replays `assets.extra/tf_serving_warmup_requests` before a version becomes available."""
    num_request_iterations_for_warmup: int = 1
    """Number of times each warm-up request is replayed."""
    version: bool = False
    """Prints the versions and exits."""
    monitoring_config_file: str = ""
    """File with a `MonitoringConfig` in text format: the path of the Prometheus page on the REST port."""
    remove_unused_fields_from_bundle_metagraph: bool = True
    """Accepted without effect: only the signatures of a MetaGraph are kept in any case."""
    prefer_tflite_model: bool = False
    """Serves `model.tflite`, where a version directory has one, instead of its SavedModel. Needs the `tflite` extra."""
    num_tflite_pools: int = 1
    """Pools of interpreters for each TensorFlow Lite model."""
    num_tflite_interpreters_per_pool: int = 1
    """Interpreters in each pool. Each runs one call at a time, so they bound the concurrent calls of the model."""
    enable_signature_method_name_check: bool = False
    """Requires that a signature's method_name fits the RPC."""
    xla_cpu_compilation_enabled: bool = False
    """Compiles graphs with XLA for CPUs."""
    xla_gpu_compilation_enabled: bool = False
    """Compiles graphs with XLA for GPUs."""
    enable_profiler: bool = True
    """Serves `tensorflow.ProfilerService` on the gRPC port, for TensorBoard and `tf.profiler.experimental.client`."""
    thread_pool_factory_config_file: str = ""
    """Refused, for the reason in `REFUSED`."""
    mixed_precision: str = ""
    """Refused, for the reason in `REFUSED`."""
    skip_initialize_tpu: bool = False
    """Accepted without effect: TPUs are never initialised."""
    enable_grpc_healthcheck_service: bool = False
    """Serves `grpc.health.v1.Health`."""
    enable_serialization_as_tensor_content: bool = False
    """Writes outputs as `tensor_content` instead of typed fields."""

    single_threaded_executor: bool = True
    """recstack's own. Runs each call on the thread that received it, which saves about 50 us per call. Graphs that
    TensorFlow cannot run this way use the default executor. Set to false for models whose operations should run
    concurrently within a call."""

    op_libraries: str = ""
    """recstack's own. Shared libraries of TensorFlow operations to load at the start, separated by commas."""
    remote_cache_directory: str = ""
    """recstack's own. Folder for copies of the versions that base paths such as s3://bucket/models/retrieval hold;
    empty for ~/.cache/recstack/served. It needs room for the versions of each model's policy and one more."""
    remote_poll_wait_seconds: float = 10.0
    """recstack's own. Seconds between two looks into an object store, of each model."""
    workers: int = 1
    """recstack's own. Number of server processes that share the TCP ports; each has its own copy of the models."""
    api_keys_file: str = ""
    """recstack's own. File with one API key per line; calls must pass one of them as `x-api-key`."""
    max_requests_per_second_per_client: float = 0.0
    """recstack's own. Calls per second from one API key, or else from one address, in each worker; 0 for no limit."""
    max_concurrent_requests: int = 0
    """recstack's own. Concurrent calls, running or waiting, in each worker; 0 for no limit."""
    max_request_bytes: int = 0
    """recstack's own. Maximum size of a request in bytes, inflated; 0 for the protocol's own limit."""
    access_log_file: str = ""
    """recstack's own. File for one line of JSON per inference call."""
    request_log_directory: str = ""
    """recstack's own. Directory for successful calls, as TFRecord files of `PredictionLog`."""
    request_log_sampling_rate: float = 1.0
    """recstack's own. Share of the calls that are logged, 0 to 1."""
    request_log_file_bytes: int = 64 * 2**20
    """recstack's own. Size in bytes at which a log file is completed and the next one started."""
    request_log_file_seconds: float = 300.0
    """recstack's own. Age in seconds at which a log file is completed."""
    shadow_label: str = ""
    """recstack's own. Version label: Predict calls are repeated on the version with this label and compared."""
    shadow_sampling_rate: float = 1.0
    """recstack's own. Share of the calls that are repeated, 0 to 1."""

    def __post_init__(self) -> None:
        """Checks the values, without reading files."""
        for field, (low, high, expected) in _BOUNDS.items():
            if not low <= getattr(self, field) <= high:
                raise ConfigError(field, getattr(self, field), expected)
        if self.workers > 1 and self.grpc_socket_path:
            raise ConfigError("workers", self.workers, "1 with --grpc_socket_path: processes cannot share a socket")
        for field, why in REFUSED.items():
            if getattr(self, field):
                raise ConfigError(field, getattr(self, field), f"the flag not to be set: {why}")

    @property
    def num_tflite_interpreters(self) -> int:
        """Interpreters for each TensorFlow Lite model."""
        return self.num_tflite_pools * self.num_tflite_interpreters_per_pool

    @property
    def grpc_threads(self) -> int:
        """Threads for gRPC calls."""
        return self.grpc_max_threads or _four_per_cpu()

    @property
    def rest_threads(self) -> int:
        """Threads for REST calls."""
        return self.rest_api_num_threads or _four_per_cpu()
