"""The REST entrypoint: TensorFlow Serving's REST API as an ASGI application."""

import asyncio
import gzip
import logging
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from serving.api.call import API_KEY_HEADER, Call, Gate
from serving.api.rest.calls import RestCalls
from serving.api.rest.json_tensors import write_body
from serving.api.rest.paths import VersionTooLargeError, parse_target
from serving.config import ServerConfig
from serving.errors import HTTP_STATUS, Code, ServingError, from_exception, invalid_argument
from serving.metrics import Metrics

logger = logging.getLogger(__name__)

_ALLOWED_METHODS = {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"}
"""Methods that reach the handlers; others are answered 501, as by the real server's HTTP library."""
_ORIGIN = re.compile("https?://")
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


class RestApp:
    """The ASGI application; calls run in a thread pool, so that the event loop never waits for a model."""

    def __init__(
        self,
        config: ServerConfig,
        calls: RestCalls,
        metrics: Metrics,
        *,
        metrics_path: str = "",
        gate: Gate | None = None,
    ) -> None:
        """Prepares the application.

        Args:
            config: The server's flags.
            calls: What answers the requests.
            metrics: Counts the requests.
            metrics_path: Path of the Prometheus page; empty for none.
            gate: Admits calls; None admits every call.
        """
        self._calls = calls
        self._metrics = metrics
        self._metrics_path = metrics_path
        self._gate: Gate = gate or (lambda call: nullcontext())
        self._timeout = config.rest_api_timeout_in_ms / 1000
        self._cors = config.rest_api_enable_cors_support
        self._max_body_bytes = config.max_request_bytes
        self._pool = ThreadPoolExecutor(config.rest_threads, thread_name_prefix="rest")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        if scope["type"] != "http":
            return
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
        if request.method not in _ALLOWED_METHODS:
            return _html(501, "Not Implemented")
        if self._metrics_path and path == self._metrics_path:
            return Response(self._metrics.page(), media_type="text/plain")
        if not path.lower().startswith("/v1/"):
            return _html(404, "Not Found")
        headers = _CORS if self._cors else {}
        if request.method == "OPTIONS" and self._cors:
            has_origin = _ORIGIN.search(request.headers.get("origin", ""))
            return Response(status_code=200 if has_origin else 400, headers=headers)
        try:
            content = await self._read_body(request)
            loop = asyncio.get_running_loop()
            call = self._call(request)
            code, answer = await loop.run_in_executor(self._pool, self._answer, request.method, path, content, call)
        except ServingError as error:
            code, answer = error.code, write_body({"error": error.message})
        return Response(answer, HTTP_STATUS.get(code, 500), headers, "application/json")

    def _call(self, request: Request) -> Call:
        peer = peer_address(request.client.host) if request.client else ""
        key = request.headers.get(API_KEY_HEADER, "")
        return Call("REST", self._timeout, lambda: peer, lambda: key)

    async def _read_body(self, request: Request) -> bytes:
        limit = self._max_body_bytes
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
            target = parse_target(method, path)
            name = target.name
            with self._gate(call):
                answer = self._calls.answer(target, content, call)
            code = Code.OK
        except VersionTooLargeError as error:
            code, answer = error.code, b""
        except Exception as error:
            failure = from_exception(error)
            if failure.code is Code.INTERNAL:
                logger.exception("a call failed")
            code, answer = failure.code, write_body({"error": failure.message})
        self._metrics.request_count.add(name, code.name)
        return code, answer


def peer_address(host: str) -> str:
    """An address in gRPC's form; an IPv4 client of an IPv6 socket is an IPv4 client."""
    address = host.removeprefix("::ffff:")
    return f"ipv6:[{address}]" if ":" in address else f"ipv4:{address}"


def _html(status: int, reason: str) -> Response:
    return HTMLResponse(f"<html><body><h1>{reason}</h1></body></html>", status_code=status)


def _inflated(content: bytes, limit: int) -> bytes:
    try:
        # Unlike `gzip.decompress`, a decompression object stops at the limit: a few kilobytes can inflate to gigabytes.
        inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        inflated = inflater.decompress(content, limit + 1 if limit else 0)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise invalid_argument(f"The gzip body cannot be inflated: {error}") from None
    if limit and len(inflated) > limit:
        raise ServingError(Code.RESOURCE_EXHAUSTED, f"The inflated request body is larger than {limit} bytes")
    if not inflater.eof:
        raise invalid_argument("The gzip body cannot be inflated: it is truncated")
    return inflated
