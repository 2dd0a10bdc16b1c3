"""TensorFlow Serving's REST API as an ASGI application."""

import asyncio
import gzip
import logging
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from serving.api.call import Call
from serving.api.dispatch import Dispatcher
from serving.api.rest.json_tensors import parse_object, signature_name
from serving.api.rest.messages import (
    body,
    classify_body,
    fill_examples_request,
    fill_predict_request,
    metadata_body,
    predict_body,
    regress_body,
    status_body,
)
from serving.config import ServerConfig
from serving.errors import HTTP_STATUS, Code, ServingError, from_exception, invalid_argument
from serving.extras.admission import API_KEY_HEADER, Admission
from serving.metrics import Metrics
from serving.models.servable import DEFAULT_SIGNATURE

logger = logging.getLogger(__name__)

_VERSION_OR_LABEL = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_INFER = re.compile(rf"(?i:/v1/models/(?P<name>[^/:]+){_VERSION_OR_LABEL}):(?P<verb>classify|regress|predict)")
_LOOK = re.compile(rf"(?i:/v1/models(?:/(?P<name>[^/:]+))?{_VERSION_OR_LABEL}(?P<metadata>/metadata)?)")
_MAX_INT64 = 2**63 - 1
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class _VersionTooLargeError(ServingError):
    """The real server answers such a version number without a word."""


@dataclass(frozen=True)
class RestSettings:
    """What the REST API does beyond answering."""

    timeout_seconds: float
    cors: bool
    metrics_path: str
    """Path of the Prometheus page; empty for none."""
    max_body_bytes: int
    """Largest body, inflated; 0 for no limit."""


class RestApi:
    """The ASGI application. Model calls run on a pool of threads, so that the event loop never waits for one."""

    def __init__(
        self,
        config: ServerConfig,
        settings: RestSettings,
        dispatcher: Dispatcher,
        metrics: Metrics,
        admission: Admission,
    ) -> None:
        self._admission = admission
        self._settings = settings
        self._dispatcher = dispatcher
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(config.rest_threads, thread_name_prefix="rest")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await self._respond(request)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        if self._settings.metrics_path and path == self._settings.metrics_path:
            return Response(self._metrics.page(), media_type="text/plain")
        if not path.lower().startswith("/v1/"):
            return HTMLResponse("<html><body><h1>Not Found</h1></body></html>", status_code=404)
        headers = _CORS if self._settings.cors else {}
        if request.method == "OPTIONS" and self._settings.cors:
            return Response(status_code=200, headers=headers)
        peer = f"ipv4:{request.client.host}" if request.client else ""
        key = request.headers.get(API_KEY_HEADER, "")
        call = Call("REST", self._settings.timeout_seconds, lambda: peer, lambda: key)
        try:
            content = await self._content(request)
            loop = asyncio.get_running_loop()
            code, answer = await loop.run_in_executor(self._pool, self._answer, request.method, path, content, call)
        except ServingError as error:
            code, answer = error.code, body({"error": error.message})
        return Response(answer, HTTP_STATUS.get(code, 500), headers, "application/json")

    async def _content(self, request: Request) -> bytes:
        limit = self._settings.max_body_bytes
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if limit and len(content) > limit:
                raise ServingError(Code.RESOURCE_EXHAUSTED, f"The request body is larger than {limit} bytes")
        if request.headers.get("content-encoding", "").lower() != "gzip":
            return bytes(content)
        return _inflated(bytes(content), limit)

    def _answer(self, method: str, path: str, content: bytes, call: Call) -> tuple[Code, bytes]:
        name = ""
        try:
            target = _target(method, path)
            name = target["name"] or ""
            with self._admission.enter(call):
                answer = self._infer(target, content, call) if target.get("verb") else self._look(target, call)
            code = Code.OK
        except _VersionTooLargeError as error:
            code, answer = error.code, b""
        except Exception as error:
            failure = from_exception(error)
            if failure.code is Code.INTERNAL:
                logger.exception("a call failed")
            code, answer = failure.code, body({"error": failure.message})
        self._metrics.request_count.add(name, code.name)
        return code, answer

    def _look(self, target: dict[str, str | None], call: Call) -> bytes:
        if not target["name"]:
            raise invalid_argument("Missing model name in request.")
        if target["metadata"]:
            request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
            _fill_spec(request.model_spec, target)
            return metadata_body(self._dispatcher.model_metadata(request, call))
        request = get_model_status_pb2.GetModelStatusRequest()
        _fill_spec(request.model_spec, target)
        return status_body(self._dispatcher.model_status(request, call))

    def _infer(self, target: dict[str, str | None], content: bytes, call: Call) -> bytes:
        if target["verb"] == "predict":
            return self._predict(target, content, call)
        if target["verb"] == "classify":
            request = classification_pb2.ClassificationRequest()
            fill_examples_request(request, content)
            _fill_spec(request.model_spec, target)
            return classify_body(self._dispatcher.classify(request, call))
        request = regression_pb2.RegressionRequest()
        fill_examples_request(request, content)
        _fill_spec(request.model_spec, target)
        return regress_body(self._dispatcher.regress(request, call))

    def _predict(self, target: dict[str, str | None], content: bytes, call: Call) -> bytes:
        document = parse_object(content)
        request = predict_pb2.PredictRequest()
        request.model_spec.signature_name = signature_name(document)
        _fill_spec(request.model_spec, target)
        rows = fill_predict_request(request, document, self._input_types(request.model_spec))
        return predict_body(self._dispatcher.predict(request, call), rows)

    def _input_types(self, spec: Any) -> dict[str, int]:
        name = spec.signature_name or DEFAULT_SIGNATURE
        with self._dispatcher.lease(spec) as servable:
            signature = servable.signatures.get(name)
            if signature is None:
                raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
            types = {alias: signature.definition.inputs[alias].dtype for alias in signature.inputs}
        if not types:
            raise invalid_argument(f"Failed to get input map for signature: {spec.signature_name or 'DEFAULT'}")
        return types


def _target(method: str, path: str) -> dict[str, str | None]:
    pattern = {"POST": _INFER, "GET": _LOOK}.get(method)
    match = pattern.fullmatch(path) if pattern is not None else None
    if match is None:
        raise invalid_argument(f"Malformed request: {method} {path}")
    target = match.groupdict()
    if target["version"] and int(target["version"]) > _MAX_INT64:
        raise _VersionTooLargeError(
            Code.INVALID_ARGUMENT, f"Failed to convert version: {target['version']} to numeric."
        )
    for part in ("name", "label"):
        if target[part]:
            target[part] = unquote_to_bytes(target[part]).decode("utf-8", "replace")
    return target


def _fill_spec(spec: Any, target: dict[str, str | None]) -> None:
    spec.name = target["name"]
    if target["version"]:
        spec.version.value = int(target["version"])
    elif target["label"]:
        spec.version_label = target["label"]


def _inflated(content: bytes, limit: int) -> bytes:
    try:
        # A stream object stops at the limit; `gzip.decompress` would fill the memory with a few kilobytes' bomb.
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        inflated = inflater.decompress(content, limit + 1 if limit else 0)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise invalid_argument(f"The gzip body cannot be inflated: {error}") from None
    if limit and len(inflated) > limit:
        raise ServingError(Code.RESOURCE_EXHAUSTED, f"The inflated request body is larger than {limit} bytes")
    if not inflater.eof:
        raise invalid_argument("The gzip body cannot be inflated: it ends too early")
    return inflated
