"""Manifests: what a directory holds and what it was made from. A manifest is written last and atomically."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeAlias

from features.disk.files import write_text_atomically
from features.errors import InputError, RecstackError
from features.schema import fingerprint
from features.serialization import structure, unstructure

FORMAT_VERSION = 1
Kind: TypeAlias = Literal["dataset", "catalogue", "run", "saved_model", "embeddings"]

_COMMANDS: Mapping[str, str] = {
    "dataset": "recstack prepare",
    "catalogue": "recstack export --refresh-index",
    "run": "recstack train",
    "saved_model": "recstack export",
    "embeddings": "recstack export --embeddings",
}


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The record of one finished stage."""

    kind: Kind
    """What the directory holds."""
    schema_fingerprint: str
    """Fingerprint of the schema that the content follows."""
    inputs: Mapping[str, str]
    """Fingerprints of what the content was made from: parents, files, configuration."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The configuration of the stage."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Records, users, items and whatever else the stage counts."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Measurements of the stage."""
    notes: tuple[str, ...] = ()
    """What a person should know about the content, a line each."""
    vocabularies: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints of the content's vocabularies, by feature."""
    producer: Mapping[str, str] = field(default_factory=dict)
    """Versions of the code and the libraries that made the content."""
    seconds: float = 0.0
    """Wall time of the stage."""
    format_version: int = FORMAT_VERSION
    """Version of the manifest's own format."""

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that identify the content: equal for two runs over the same inputs."""
        return fingerprint([self.kind, self.schema_fingerprint, dict(self.inputs)])

    def write(self, path: Path) -> None:
        """Writes the manifest; call it last."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(unstructure(self), indent=1, sort_keys=True) + "\n")


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """Result of a stage function."""

    manifest: Manifest
    """Manifest of the finished stage."""
    directory: Path
    """Directory that the stage wrote."""
    nothing_to_do: bool
    """Whether the stage had been finished before with the same inputs."""


def read_manifest(path: Path, kind: Kind) -> Manifest:
    """Reads and checks a manifest.

    Raises:
        InputError: The manifest is missing, unreadable, of another kind or of another format version; the message
            names the command that writes a valid one.
    """
    mend = f"run `{_COMMANDS[kind]}`"
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{kind} {path.parent}: {path.name} expected, none found; {mend}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{kind} {path.parent}: {path.name} cannot be read ({error}); {mend} again") from error
    found = data.get("format_version") if isinstance(data, dict) else None
    if found != FORMAT_VERSION:
        raise InputError(f"{kind} {path.parent}: format_version {FORMAT_VERSION} expected, {found} found; {mend} again")
    try:
        manifest = structure(data, Manifest, path.name)
    except RecstackError as error:
        raise InputError(f"{kind} {path.parent}: {error}; {mend} again") from error
    if manifest.kind != kind:
        raise InputError(f"{path}: a manifest of kind {kind!r} expected, {manifest.kind!r} found; {mend}")
    return manifest


def finished_with(path: Path, kind: Kind, inputs: Mapping[str, str]) -> Manifest | None:
    """Returns the manifest at `path` if it records exactly these inputs, so that the stage has nothing to do."""
    try:
        manifest = read_manifest(path, kind)
    except InputError:
        return None
    return manifest if dict(manifest.inputs) == dict(inputs) else None


def require_schema(manifest: Manifest, schema_fingerprint: str, path: Path) -> None:
    """Refuses a directory that was made with another schema.

    Raises:
        InputError: The fingerprints differ.
    """
    if manifest.schema_fingerprint != schema_fingerprint:
        raise InputError(
            f"{manifest.kind} {path.parent}: schema {schema_fingerprint} expected, {manifest.schema_fingerprint} found "
            f"(the features changed); run `{_COMMANDS[manifest.kind]}` again"
        )


def producer_versions(*distributions: str) -> dict[str, str]:
    """Installed versions of recstack and the named distributions."""
    return {name: version(name) for name in ("recstack", *distributions)}
