"""TensorFlow Serving's command line."""

import shlex
import subprocess
import sys
from dataclasses import fields

import pytest

from features.errors import ConfigError
from serving.config import REFUSED, ServerConfig
from serving.flags import parse_flags, usage


def test_no_flags_give_the_real_servers_defaults():
    config = parse_flags([])
    assert config == ServerConfig()
    assert (config.port, config.rest_api_port, config.model_name) == (8500, 0, "default")
    assert (config.max_num_load_retries, config.load_retry_interval_micros) == (5, 60_000_000)
    assert (config.file_system_poll_wait_seconds, config.saved_model_tags) == (1, "serve")


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--port=9"], "port", 9),
        (["--port", "9"], "port", 9),
        (["--port=1", "--port=9"], "port", 9),
        (["--model_name=a=b"], "model_name", "a=b"),
        (["--enable_batching"], "enable_batching", True),
        (["--enable_batching=true"], "enable_batching", True),
        (["--enable_batching=1"], "enable_batching", True),
        (["--noenable_model_warmup"], "enable_model_warmup", False),
        (["--enable_model_warmup=false"], "enable_model_warmup", False),
        (["--per_process_gpu_memory_fraction=0.5"], "per_process_gpu_memory_fraction", 0.5),
        (["--file_system_poll_wait_seconds=-1"], "file_system_poll_wait_seconds", -1),
        (["--file_system_poll_wait_seconds", "-1"], "file_system_poll_wait_seconds", -1),
    ],
)
def test_spellings(argv, field, value):
    assert getattr(parse_flags(argv), field) == value


def test_a_bare_boolean_does_not_take_the_next_argument():
    config = parse_flags(["--enable_batching", "--port=9"])
    assert config.enable_batching
    assert config.port == 9


def test_usage_describes_every_flag_and_shows_its_default():
    lines = [line.removeprefix("\t").split("\t") for line in usage().splitlines() if line.startswith("\t")]
    assert [flag.partition("=")[0].removeprefix("--") for flag, _, _ in lines] == [f.name for f in fields(ServerConfig)]
    assert parse_flags([shlex.split(flag)[0] for flag, _, _ in lines]) == ServerConfig()
    assert {kind for _, kind, _ in lines} == {"int32", "float", "bool", "string"}
    assert all(len(description) > 20 for _, _, description in lines)
    described = {flag.partition("=")[0]: description for flag, _, description in lines}
    assert described["--use_alts_credentials"] == f"Refused: {REFUSED['use_alts_credentials']}."


def test_unknown_arguments_are_printed_with_usage_and_ignored(capsys):
    assert parse_flags(["--colour=red", "stray", "--port=9"]).port == 9
    printed = capsys.readouterr().out
    assert "unknown argument: --colour=red" in printed
    assert "unknown argument: stray" in printed
    assert "--rest_api_port=" in printed


@pytest.mark.parametrize("argv", [["--port=x"], ["--port"], ["--port=70000"], ["--enable_batching=perhaps"]])
def test_a_bad_value_names_the_flag(argv):
    with pytest.raises(ConfigError, match=r"port|enable_batching"):
        parse_flags(argv)


@pytest.mark.parametrize("field", REFUSED)
def test_what_cannot_be_done_is_refused(field):
    value = "--" + field if isinstance(getattr(ServerConfig(), field), bool) else f"--{field}=something"
    with pytest.raises(ConfigError, match=field):
        parse_flags([value])


def test_every_flag_of_the_real_server_is_known(capsys):
    flags = """port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms
        rest_api_enable_cors_support enable_batching allow_version_labels_for_unavailable_models
        batching_parameters_file enable_per_model_batching_parameters model_config_file
        model_config_file_poll_wait_seconds model_name model_base_path num_load_threads num_unload_threads
        max_num_load_retries load_retry_interval_micros file_system_poll_wait_seconds flush_filesystem_caches
        tensorflow_session_parallelism tensorflow_session_config_file tensorflow_intra_op_parallelism
        tensorflow_inter_op_parallelism use_alts_credentials ssl_config_file platform_config_file
        per_process_gpu_memory_fraction saved_model_tags grpc_channel_arguments grpc_max_threads enable_model_warmup
        num_request_iterations_for_warmup version monitoring_config_file remove_unused_fields_from_bundle_metagraph
        prefer_tflite_model num_tflite_pools num_tflite_interpreters_per_pool enable_signature_method_name_check
        xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler thread_pool_factory_config_file
        mixed_precision skip_initialize_tpu enable_grpc_healthcheck_service enable_serialization_as_tensor_content"""
    defaults = ServerConfig()
    values = [getattr(defaults, name) for name in flags.split()]
    spelt = [f"--{name}={str(value).lower()}" for name, value in zip(flags.split(), values, strict=True)]
    assert parse_flags(spelt) == defaults
    assert capsys.readouterr().out == ""


def test_parsing_imports_no_tensorflow():
    code = "import sys, serving.flags, serving.app; sys.exit('tensorflow' in sys.modules or 'grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
