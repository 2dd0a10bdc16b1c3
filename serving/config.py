"""What the server is asked to do: TensorFlow Serving's flags by their exact names, then recstack's own.

Imports no TensorFlow, so that `recstack --help` and the parsing of a command line stay quick.
"""

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

    def __post_init__(self) -> None:
        """Checks what can be checked without touching files."""
        for field in ("port", "rest_api_port"):
            if not 0 <= getattr(self, field) <= 65_535:
                raise ConfigError(field, getattr(self, field), "a TCP port, 0 to 65535")
        for field in ("grpc_max_threads", "rest_api_num_threads", "num_load_threads", "num_unload_threads"):
            if getattr(self, field) < 0:
                raise ConfigError(field, getattr(self, field), "0 or more threads")
        if not 0.0 <= self.per_process_gpu_memory_fraction <= 1.0:
            raise ConfigError("per_process_gpu_memory_fraction", self.per_process_gpu_memory_fraction, "0 to 1")
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
