"""One JSON object a call, one call a line."""

import json
import logging
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler

from features.errors import ConfigError
from serving.api.call import Finished


class AccessLog:
    """An observer that appends to a file, and opens it anew where a log rotation moved it away."""

    def __init__(self, path: str) -> None:
        """Opens the file.

        Raises:
            ConfigError: it cannot be written.
        """
        try:
            self._handler = WatchedFileHandler(path, encoding="utf-8")
        except OSError as error:
            raise ConfigError("access_log_file", path, f"a file that can be written: {error.strerror}") from None
        self._lines = logging.Logger("access")
        self._lines.addHandler(self._handler)

    def __call__(self, finished: Finished) -> None:
        """Writes one line."""
        self._lines.info("%s", json.dumps(_entry(finished), ensure_ascii=False))

    def close(self) -> None:
        """Closes the file."""
        self._handler.close()


def _entry(finished: Finished) -> dict[str, object]:
    entry: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "door": finished.call.door,
        "api": finished.api,
        "client": finished.call.peer(),
        "model": finished.model,
        "status": finished.code.name,
        "milliseconds": round(finished.seconds * 1000, 3),
        "request_bytes": finished.request.ByteSize(),
    }
    if finished.message:
        entry["error"] = finished.message
    if finished.response is not None and finished.api != "MultiInference":
        entry["version"] = finished.response.model_spec.version.value
        entry["signature"] = finished.response.model_spec.signature_name
    return entry
