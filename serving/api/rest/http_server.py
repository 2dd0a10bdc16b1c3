"""The REST API's HTTP server: uvicorn on a thread of its own."""

import asyncio
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from features.errors import InputError


class HttpServer:
    """Listens from construction, answers from `start`, ends with `stop`."""

    def __init__(self, app: ASGIApp, port: int, *, reuse_port: bool = False) -> None:
        """Binds the port.

        Args:
            app: what answers.
            port: TCP port on all addresses.
            reuse_port: share the port with other processes that say so too.

        Raises:
            InputError: the port cannot be listened on.
        """
        # asyncio turns Nagle's algorithm off only where the protocol is named; with it a small reply waits 40 ms.
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
        """Begins to answer."""
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Lets running requests finish for five seconds and closes the port."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._socket.close()
