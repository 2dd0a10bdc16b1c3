"""The HTTP server behind the REST entrypoint: uvicorn in its own thread."""

import asyncio
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from features.errors import InputError


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
        # asyncio disables Nagle's algorithm only if the protocol is named; with it a small response waits 40 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            self._socket.bind(("0.0.0.0", port))
            self._socket.listen(1024)
        except OSError as error:
            self._socket.close()
            raise InputError(f"--rest_api_port={port}: cannot listen there: {error.strerror}") from None
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
