"""The gRPC entrypoint: PredictionService, ModelService and Health."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from features.errors import InputError
from serving.api.call import API_KEY_HEADER, Call, Gate, Rpc
from serving.config import ServerConfig
from serving.errors import Code, from_exception, invalid_argument
from serving.protos import (
    MonitorRequest,
    MonitorResponse,
    ProfileRequest,
    ProfileResponse,
    SSLConfig,
    TerminateRequest,
    TerminateResponse,
    read_text,
)

logger = logging.getLogger(__name__)

SERVICES: Mapping[str, Mapping[str, tuple[Any, Any]]] = {
    "tensorflow.serving.PredictionService": {
        "Predict": (predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        "Classify": (classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
        "Regress": (regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
        "MultiInference": (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse),
        "GetModelMetadata": (
            get_model_metadata_pb2.GetModelMetadataRequest,
            get_model_metadata_pb2.GetModelMetadataResponse,
        ),
    },
    "tensorflow.serving.ModelService": {
        "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusResponse),
        "HandleReloadConfigRequest": (
            model_management_pb2.ReloadConfigRequest,
            model_management_pb2.ReloadConfigResponse,
        ),
    },
    "tensorflow.ProfilerService": {
        "Profile": (ProfileRequest, ProfileResponse),
        "Terminate": (TerminateRequest, TerminateResponse),
        "Monitor": (MonitorRequest, MonitorResponse),
    },
}
"""Request and response message of each RPC, by service."""

STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MAX_MESSAGE = 2**31 - 1


def start_grpc(config: ServerConfig, rpcs: Mapping[str, Rpc], gate: Gate | None = None) -> grpc.Server:
    """Starts to listen on the port and the socket of the configuration.

    Args:
        config: The server's flags.
        rpcs: Implementations of RPCs of `SERVICES`, by name; the others are answered UNIMPLEMENTED.
        gate: Admits calls; None admits every call.

    Raises:
        InputError: An address cannot be listened on.
        ServingError: The TLS or channel settings are invalid.
    """
    # gRPC answers a request that does not parse with INTERNAL; the tracebacks would fill the log of an open port.
    logging.getLogger("grpc._common").setLevel(logging.CRITICAL)
    server = grpc.server(
        ThreadPoolExecutor(config.grpc_threads, thread_name_prefix="grpc"),
        options=list(_server_options(config).items()),
        maximum_concurrent_rpcs=config.max_concurrent_requests or None,
    )
    for service, methods in SERVICES.items():
        handlers = {
            name: _handler(_gated(rpcs[name], gate), *messages) for name, messages in methods.items() if name in rpcs
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    if config.enable_grpc_healthcheck_service:
        _add_health(server)
    _listen(server, config)
    server.start()
    return server


def _gated(rpc: Rpc, gate: Gate | None) -> Rpc:
    if gate is None:
        return rpc

    def admitted(request: Any, call: Call) -> Any:
        with gate(call):
            return rpc(request, call)

    return admitted


def _handler(rpc: Rpc, request_type: Any, response_type: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return rpc(request, _call(context))
        except Exception as error:
            failure = from_exception(error)
            if failure.code is Code.INTERNAL:
                logger.exception("a call failed")
            context.abort(STATUS_CODES[failure.code], failure.short_message)

    return grpc.unary_unary_rpc_method_handler(handle, request_type.FromString, response_type.SerializeToString)


def _call(context: grpc.ServicerContext) -> Call:
    return Call("GRPC", context.time_remaining(), lambda: peer_address(context.peer()), lambda: _api_key(context))


def peer_address(peer: str) -> str:
    """Strips the port from `ipv4:10.0.0.1:4711` or `ipv6:[::1]:4711`, because it differs between connections."""
    return peer if peer.startswith("unix:") else peer.rpartition(":")[0]


def _api_key(context: grpc.ServicerContext) -> str:
    pairs = dict(context.invocation_metadata())
    key = pairs.get(API_KEY_HEADER, "")
    return key if isinstance(key, str) else key.decode("latin-1")


def _server_options(config: ServerConfig) -> dict[str, str | int]:
    return {
        "grpc.max_send_message_length": _MAX_MESSAGE,
        "grpc.max_receive_message_length": config.max_request_bytes or _MAX_MESSAGE,
        "grpc.so_reuseport": int(config.workers > 1),
        **_channel_arguments(config.grpc_channel_arguments),
    }


def _channel_arguments(text: str) -> dict[str, str | int]:
    arguments: dict[str, str | int] = {}
    for argument in filter(None, text.split(",")):
        key, equals, value = argument.partition("=")
        if not equals:
            raise invalid_argument(f"grpc_channel_arguments: {argument!r} is not key=value")
        arguments[key] = int(value) if value.lstrip("-").isdecimal() else value
    return arguments


def _add_health(server: grpc.Server) -> None:
    health = HealthServicer()
    for name in ("", "ModelService", "PredictionService"):
        health.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)


def _listen(server: grpc.Server, config: ServerConfig) -> None:
    credentials = _credentials(config)
    addresses = [f"0.0.0.0:{config.port}"] if config.port else []
    addresses += [f"unix:{config.grpc_socket_path}"] if config.grpc_socket_path else []
    for address in addresses:
        try:
            if credentials is not None and not address.startswith("unix:"):
                server.add_secure_port(address, credentials)
            else:
                server.add_insecure_port(address)
        except RuntimeError:
            raise InputError(
                f"gRPC cannot listen on {address}: it is in use or not permitted; choose another --port or "
                "--grpc_socket_path"
            ) from None


def _credentials(config: ServerConfig) -> grpc.ServerCredentials | None:
    if not config.ssl_config_file:
        return None
    ssl: Any = read_text(config.ssl_config_file, SSLConfig(), "tensorflow.serving.SSLConfig")
    try:
        return grpc.ssl_server_credentials(
            [(ssl.server_key.encode(), ssl.server_cert.encode())],
            root_certificates=ssl.custom_ca.encode() or None,
            require_client_auth=ssl.client_verify,
        )
    except ValueError as error:
        raise invalid_argument(f"{config.ssl_config_file}: {error}") from None
