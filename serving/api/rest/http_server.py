"""The HTTP server behind the REST entrypoint: uvicorn in its own thread."""

import asyncio
import errno
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from features.errors import InputError

_BACKLOG = 1024
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENOPROTOOPT)


class HttpServer:
    """Listens once constructed, answers once started."""

    def __init__(self, app: ASGIApp, port: int, *, reuse_port: bool = False) -> None:
        """Binds the port.

        Args:
            app: The application.
            port: TCP port on all addresses.
            reuse_port: Whether to share the port with other processes that do the same.

        Raises:
            InputError: The port cannot be listened on.
        """
        self._socket = _listen(port, reuse_port)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=5,
            )
        )
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Starts to answer requests."""
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Gives running requests five seconds to finish and closes the port."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()


def _listen(port: int, reuse_port: bool) -> socket.socket:
    """Listens on all IPv6 and IPv4 addresses, or on IPv4 only if the machine has no IPv6, as the real server does."""
    try:
        return _bound(socket.AF_INET6, "::", port, reuse_port)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise _cannot_listen(port, error) from None
    try:
        return _bound(socket.AF_INET, "0.0.0.0", port, reuse_port)
    except OSError as error:
        raise _cannot_listen(port, error) from None


def _bound(family: socket.AddressFamily, address: str, port: int, reuse_port: bool) -> socket.socket:
    # asyncio disables Nagle's algorithm only if the protocol is named; with it a small response waits 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((address, port))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _cannot_listen(port: int, error: OSError) -> InputError:
    return InputError(f"--rest_api_port={port}: cannot listen there: {error.strerror}")
