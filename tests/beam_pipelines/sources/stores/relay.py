"""A server that dies while it is read: a relay in front of the real one, which breaks off after some bytes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FOREVER = 1 << 62


class Relay:
    """Passes connections on to a server until it breaks off; from then on it refuses them."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._left = _FOREVER
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def break_off_after(self, num_bytes: int) -> None:
        """Lets so many bytes of answers through, then closes everything."""
        self._left = num_bytes

    def start_again(self) -> None:
        """Accepts connections as before."""
        self._left = _FOREVER
        self._listener = self._listen(self.port)

    def close(self) -> None:
        """Closes all connections and accepts no more."""
        with self._lock:
            for connection in (self._listener, *self._open):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            self._open.clear()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                with self._lock:
                    self._open += [client, server]
                threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                if is_answer:
                    self._left -= len(data)
                    if self._left < 0:
                        self.close()
                        return
                target.sendall(data)
        for connection in (source, target):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay_to(server: int) -> Iterator[Relay]:
    """A relay in front of the server at a local port."""
    relay = Relay(server)
    try:
        yield relay
    finally:
        relay.close()
