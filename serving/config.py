"""What the server is asked to do: TensorFlow Serving's flags by their exact names, then recstack's own.

Imports no TensorFlow, so that `recstack --help` and the parsing of a command line stay quick.
"""

import math
import os
from dataclasses import dataclass

from features.errors import ConfigError

# A flag here asks for something this server cannot do; starting without it would serve something else than asked.
REFUSED = {
    "use_alts_credentials": "ALTS needs Google's network; use --ssl_config_file",
    "prefer_tflite_model": "TensorFlow Lite models are not served; export a SavedModel",
    "platform_config_file": "the only platform is 'tensorflow'; use the tensorflow_* and batching flags",
    "thread_pool_factory_config_file": "TensorFlow's own thread pools are used; use tensorflow_*_op_parallelism",
    "mixed_precision": "export the model in the wanted precision",
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
    "max_num_load_retries": (0, math.inf, "0 or more tries"),
    "load_retry_interval_micros": (0, math.inf, "0 or more microseconds"),
    "num_request_iterations_for_warmup": (1, math.inf, "1 or more iterations"),
    "per_process_gpu_memory_fraction": _SHARE,
    "request_log_sampling_rate": _SHARE,
    "request_log_file_bytes": (1, math.inf, "1 or more bytes"),
    "shadow_sampling_rate": _SHARE,
    "max_requests_per_second_per_client": _LIMIT,
    "max_concurrent_requests": _LIMIT,
    "max_request_bytes": _LIMIT,
    "workers": (1, 1000, "1 or more processes"),
}


def _four_per_cpu() -> int:
    return 4 * len(os.sched_getaffinity(0))


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """One server process. Unless said otherwise a flag means what it means to `tensorflow_model_server`."""

    port: int = 8500
    """TCP port of the gRPC API; 0 listens on no TCP port."""
    grpc_socket_path: str = ""
    """Path of a unix socket the gRPC API listens on as well; empty for none."""
    rest_api_port: int = 0
    """TCP port of the REST API; 0 for none. Must differ from `port`."""
    rest_api_num_threads: int = 0
    """Threads that work on REST calls; 0 means four a CPU."""
    rest_api_timeout_in_ms: int = 30_000
    """Milliseconds after which a REST call is answered 504 and its work is cancelled."""
    rest_api_enable_cors_support: bool = False
    """Adds CORS headers to REST replies and answers preflight calls."""
    enable_batching: bool = False
    """Joins concurrent calls of one signature into one run of the model."""
    batching_parameters_file: str = ""
    """Text-format `BatchingParameters`; needs `enable_batching`."""
    enable_per_model_batching_parameters: bool = False
    """Lets `batching_params.pbtxt` in a version directory override the batching parameters for that version."""
    allow_version_labels_for_unavailable_models: bool = False
    """Lets a first assignment of a label name a version that is not loaded yet."""
    model_config_file: str = ""
    """Text-format `ModelServerConfig`; overrides `model_name` and `model_base_path`."""
    model_config_file_poll_wait_seconds: int = 0
    """Seconds between two readings of `model_config_file`; 0 reads it once."""
    model_name: str = "default"
    """Name of the single model, where no `model_config_file` is given."""
    model_base_path: str = ""
    """Absolute path of the directory that holds the single model's version directories."""
    num_load_threads: int = 0
    """Versions that load at the same time; 0 means one."""
    num_unload_threads: int = 0
    """Versions that unload at the same time; 0 means one."""
    max_num_load_retries: int = 5
    """How often a failed load is tried again before the version ends."""
    load_retry_interval_micros: int = 60_000_000
    """Microseconds between two tries of one load."""
    file_system_poll_wait_seconds: int = 1
    """Seconds between two looks for new versions; 0 looks once, negative never."""
    flush_filesystem_caches: bool = True
    """Accepted for the real server's sake: local files have no cache of TensorFlow's to flush."""
    tensorflow_session_parallelism: int = 0
    """Threads of both session pools; 0 lets TensorFlow choose. Not together with the next two."""
    tensorflow_intra_op_parallelism: int = 0
    """Threads one operation may use; 0 lets TensorFlow choose."""
    tensorflow_inter_op_parallelism: int = 0
    """Threads that run operations side by side; 0 lets TensorFlow choose."""
    tensorflow_session_config_file: str = ""
    """Text-format `tensorflow.ConfigProto` for every session; overrides the three above."""
    per_process_gpu_memory_fraction: float = 0.0
    """Share of a GPU's memory to take, 0 to 1; 0 lets TensorFlow choose."""
    use_alts_credentials: bool = False
    """Refused: see `REFUSED`."""
    ssl_config_file: str = ""
    """Text-format `SSLConfig` (key and certificates as PEM text): serves gRPC over TLS."""
    platform_config_file: str = ""
    """Refused: see `REFUSED`."""
    saved_model_tags: str = "serve"
    """Comma-separated tags of the MetaGraph to load."""
    grpc_channel_arguments: str = ""
    """Comma-separated `key=value` arguments of the gRPC server."""
    grpc_max_threads: int = 0
    """Threads that work on gRPC calls; 0 means four a CPU."""
    enable_model_warmup: bool = True
    """Replays `assets.extra/tf_serving_warmup_requests` before a version becomes available."""
    num_request_iterations_for_warmup: int = 1
    """How often each warm-up record is replayed."""
    version: bool = False
    """Prints the versions and exits."""
    monitoring_config_file: str = ""
    """Text-format `MonitoringConfig`: where REST serves the Prometheus page."""
    remove_unused_fields_from_bundle_metagraph: bool = True
    """Accepted for the real server's sake: the MetaGraph is always dropped but for its signatures."""
    prefer_tflite_model: bool = False
    """Refused: see `REFUSED`."""
    num_tflite_pools: int = 1
    """Accepted for the real server's sake: belongs to `prefer_tflite_model`."""
    num_tflite_interpreters_per_pool: int = 1
    """Accepted for the real server's sake: belongs to `prefer_tflite_model`."""
    enable_signature_method_name_check: bool = False
    """Answers Predict, Classify and Regress only by signatures whose method_name says so."""
    xla_cpu_compilation_enabled: bool = False
    """Compiles graphs by XLA on CPUs."""
    xla_gpu_compilation_enabled: bool = False
    """Compiles graphs by XLA on GPUs."""
    enable_profiler: bool = True
    """Accepted for the real server's sake: TensorFlow's Python package offers no profiler service on our port."""
    thread_pool_factory_config_file: str = ""
    """Refused: see `REFUSED`."""
    mixed_precision: str = ""
    """Refused: see `REFUSED`."""
    skip_initialize_tpu: bool = False
    """Accepted for the real server's sake: no TPU is initialised anyway."""
    enable_grpc_healthcheck_service: bool = False
    """Serves `grpc.health.v1.Health`."""
    enable_serialization_as_tensor_content: bool = False
    """Writes outputs as `tensor_content` instead of typed fields."""

    single_threaded_executor: bool = True
    """recstack's own. Runs each call of a model on the thread that took it, which saves about 50 us a call;
    a graph that TensorFlow refuses to run so falls back by itself. Set false for a model whose operations should
    run side by side within one call."""

    workers: int = 1
    """recstack's own. Server processes that share the TCP ports; each holds its own copy of the models."""
    api_keys_file: str = ""
    """recstack's own. File with one API key a line; calls must carry one of them as `x-api-key`."""
    max_requests_per_second_per_client: float = 0.0
    """recstack's own. Calls a second from one API key or else one address, in each worker; 0 for no limit."""
    max_concurrent_requests: int = 0
    """recstack's own. Calls in work or waiting at a time, in each worker; 0 for no limit."""
    max_request_bytes: int = 0
    """recstack's own. Largest request, inflated; 0 for the protocol's own limit."""
    access_log_file: str = ""
    """recstack's own. File that gets one JSON line an inference call."""
    request_log_directory: str = ""
    """recstack's own. Directory that gets successful calls as TFRecord files of `PredictionLog`."""
    request_log_sampling_rate: float = 1.0
    """recstack's own. Share of the calls that is logged, 0 to 1."""
    request_log_file_bytes: int = 64 * 2**20
    """recstack's own. Bytes after which a log file is finished and the next begun."""
    request_log_file_seconds: float = 300.0
    """recstack's own. Seconds after which a log file is finished."""
    shadow_label: str = ""
    """recstack's own. Version label: Predict calls are repeated on the version that carries it, and compared."""
    shadow_sampling_rate: float = 1.0
    """recstack's own. Share of the calls that is repeated, 0 to 1."""

    def __post_init__(self) -> None:
        """Checks what can be checked without touching files."""
        for field, (low, high, expected) in _BOUNDS.items():
            if not low <= getattr(self, field) <= high:
                raise ConfigError(field, getattr(self, field), expected)
        if self.workers > 1 and self.grpc_socket_path:
            raise ConfigError("workers", self.workers, "1 with --grpc_socket_path: processes cannot share a socket")
        for field, why in REFUSED.items():
            if getattr(self, field):
                raise ConfigError(field, getattr(self, field), f"it to be left out: {why}")

    @property
    def grpc_threads(self) -> int:
        """Threads that work on gRPC calls."""
        return self.grpc_max_threads or _four_per_cpu()

    @property
    def rest_threads(self) -> int:
        """Threads that work on REST calls."""
        return self.rest_api_num_threads or _four_per_cpu()
