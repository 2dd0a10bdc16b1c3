"""PredictionService, ModelService and Health over gRPC."""

import logging
from collections.abc import Callable
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
from serving.api.call import Call
from serving.api.dispatch import Dispatcher
from serving.config import ServerConfig
from serving.errors import Code, from_exception, invalid_argument
from serving.extras.admission import API_KEY_HEADER, Admission
from serving.protos import SSLConfig, read_text

logger = logging.getLogger(__name__)

Behaviour = Callable[[Any, Call], Any]
"""Request proto, its call -> response proto; raises ServingError."""

STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}
_MAX_MESSAGE = 2**31 - 1


def peer_address(peer: str) -> str:
    """`ipv4:10.0.0.1:4711` and `ipv6:[::1]:4711` without the port, which differs from connection to connection."""
    return peer if peer.startswith("unix:") else peer.rpartition(":")[0]


def _api_key(context: grpc.ServicerContext) -> str:
    pairs = dict(context.invocation_metadata())
    key = pairs.get(API_KEY_HEADER, "")
    return key if isinstance(key, str) else key.decode("latin-1")


def guarded(behaviour: Behaviour, admission: Admission) -> Behaviour:
    """A behaviour behind the server's limits."""
    if admission.is_open:
        return behaviour

    def behave(request: Any, call: Call) -> Any:
        with admission.enter(call):
            return behaviour(request, call)

    return behave


def _handler(behaviour: Behaviour, request_type: Any, response_type: Any) -> "grpc.RpcMethodHandler[Any, Any]":
    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            call = Call(
                "GRPC",
                context.time_remaining(),
                lambda: peer_address(context.peer()),
                lambda: _api_key(context),
            )
            return behaviour(request, call)
        except Exception as error:
            failure = from_exception(error)
            if failure.code is Code.INTERNAL:
                logger.exception("a call failed")
            context.abort(STATUS_CODES[failure.code], failure.short_message)

    return grpc.unary_unary_rpc_method_handler(handle, request_type.FromString, response_type.SerializeToString)


def _services(
    dispatcher: Dispatcher, reload_config: Behaviour, admission: Admission
) -> "dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]":
    return {
        "tensorflow.serving.PredictionService": {
            "Predict": _handler(
                guarded(dispatcher.predict, admission), predict_pb2.PredictRequest, predict_pb2.PredictResponse
            ),
            "Classify": _handler(
                guarded(dispatcher.classify, admission),
                classification_pb2.ClassificationRequest,
                classification_pb2.ClassificationResponse,
            ),
            "Regress": _handler(
                guarded(dispatcher.regress, admission),
                regression_pb2.RegressionRequest,
                regression_pb2.RegressionResponse,
            ),
            "MultiInference": _handler(
                guarded(dispatcher.multi_inference, admission),
                inference_pb2.MultiInferenceRequest,
                inference_pb2.MultiInferenceResponse,
            ),
            "GetModelMetadata": _handler(
                guarded(dispatcher.model_metadata, admission),
                get_model_metadata_pb2.GetModelMetadataRequest,
                get_model_metadata_pb2.GetModelMetadataResponse,
            ),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": _handler(
                guarded(dispatcher.model_status, admission),
                get_model_status_pb2.GetModelStatusRequest,
                get_model_status_pb2.GetModelStatusResponse,
            ),
            "HandleReloadConfigRequest": _handler(
                guarded(reload_config, admission),
                model_management_pb2.ReloadConfigRequest,
                model_management_pb2.ReloadConfigResponse,
            ),
        },
    }


def start_grpc(
    config: ServerConfig, dispatcher: Dispatcher, reload_config: Behaviour, admission: Admission
) -> grpc.Server:
    """Starts to listen on the port and the socket of the config.

    Raises:
        InputError: an address cannot be listened on.
        ServingError: the TLS or channel settings are not usable.
    """
    options: dict[str, str | int] = {
        "grpc.max_send_message_length": _MAX_MESSAGE,
        "grpc.max_receive_message_length": config.max_request_bytes or _MAX_MESSAGE,
        "grpc.so_reuseport": int(config.workers > 1),
        **_channel_arguments(config.grpc_channel_arguments),
    }
    # A request that is no proto is answered INTERNAL; its traceback would fill the log of an open port.
    logging.getLogger("grpc._common").setLevel(logging.CRITICAL)
    pool = ThreadPoolExecutor(config.grpc_threads, thread_name_prefix="grpc")
    server = grpc.server(
        pool, options=list(options.items()), maximum_concurrent_rpcs=config.max_concurrent_requests or None
    )
    for name, methods in _services(dispatcher, reload_config, admission).items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
    if config.enable_grpc_healthcheck_service:
        _add_health(server)
    _listen(server, config)
    server.start()
    return server


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
                f"gRPC cannot listen on {address}: the port or path is in use, or not permitted; choose another --port "
                "or --grpc_socket_path"
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
