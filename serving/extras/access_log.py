"""Access log: one line of JSON per inference call."""

import json
import logging
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler

from features.errors import ConfigError
from serving.api.call import FinishedCall


class AccessLog:
    """An observer that appends to a file; the file is reopened after log rotation."""

    def __init__(self, path: str) -> None:
        """Opens the file.

        Raises:
            ConfigError: It cannot be written.
        """
        try:
            self._handler = WatchedFileHandler(path, encoding="utf-8")
        except OSError as error:
            raise ConfigError("access_log_file", path, f"a file that can be written: {error.strerror}") from None
        self._lines = logging.Logger("access")
        self._lines.addHandler(self._handler)

    def __call__(self, finished: FinishedCall) -> None:
        """Writes one line."""
        self._lines.info("%s", json.dumps(_entry(finished), ensure_ascii=False))

    def close(self) -> None:
        """Closes the file."""
        self._handler.close()


def _entry(finished: FinishedCall) -> dict[str, object]:
    entry: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "entrypoint": finished.call.entrypoint,
        "rpc": finished.rpc,
        "client": finished.call.peer(),
        "model": finished.model,
        "status": finished.code.name,
        "milliseconds": round(finished.seconds * 1000, 3),
        "request_bytes": finished.request.ByteSize(),
    }
    if finished.message:
        entry["error"] = finished.message
    if finished.response is not None and finished.rpc != "MultiInference":
        entry["version"] = finished.response.model_spec.version.value
        entry["signature"] = finished.response.model_spec.signature_name
    return entry
