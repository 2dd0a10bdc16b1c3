"""The URLs of the REST API."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from serving.errors import Code, ServingError, invalid_argument

_VERSION_OR_LABEL = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_INFERENCE = re.compile(rf"(?i:/v1/models/(?P<name>[^/:]+){_VERSION_OR_LABEL}):(?P<verb>classify|regress|predict)")
_MODEL = re.compile(rf"(?i:/v1/models(?:/(?P<name>[^/:]+))?{_VERSION_OR_LABEL}(?P<metadata>/metadata)?)")
_PATTERNS = {"POST": _INFERENCE, "GET": _MODEL}
_MAX_INT64 = 2**63 - 1


class VersionTooLargeError(ServingError):
    """A version number beyond int64, which the real server answers with an empty body."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a request is addressed to."""

    name: str
    """The model; empty if the path names none."""
    version: int | None
    label: str | None
    verb: str
    """predict, classify, regress, metadata or status."""

    def fill_spec(self, spec: Any) -> None:
        """Writes model and version into a ModelSpec."""
        spec.name = self.name
        if self.version is not None:
            spec.version.value = self.version
        elif self.label:
            spec.version_label = self.label


def parse_target(method: str, path: str) -> Target:
    """Parses the method and the path of a request.

    Raises:
        ServingError: There is no such method or path.
    """
    pattern = _PATTERNS.get(method)
    match = pattern.fullmatch(path) if pattern is not None else None
    if match is None:
        raise invalid_argument(f"Malformed request: {method} {path}")
    parts = match.groupdict()
    return Target(
        name=_decoded(parts["name"]) or "",
        version=_version(parts["version"]),
        label=_decoded(parts["label"]),
        verb=parts.get("verb") or ("metadata" if parts.get("metadata") else "status"),
    )


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if int(text) > _MAX_INT64:
        raise VersionTooLargeError(Code.INVALID_ARGUMENT, f"Failed to convert version: {text} to numeric.")
    return int(text)


def _decoded(text: str | None) -> str | None:
    return unquote_to_bytes(text).decode("utf-8", "replace") if text else text
