"""Paths of what is exported: the versions of SavedModels, the files beside each, and tables of vectors."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Entity: TypeAlias = Literal["items", "users"]

MANIFEST_NAME = "manifest.json"

# What tensorflow_model_server takes for a version: a name that `absl::SimpleAtoi` can read.
_VERSION = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class ModelLayout:
    """The base path of one servable, with one directory for each version, as TensorFlow Serving watches it."""

    base: Path

    def versions(self) -> list[int]:
        """The published versions, smallest first."""
        if not self.base.is_dir():
            return []
        return sorted(int(p.name) for p in self.base.iterdir() if p.is_dir() and _VERSION.fullmatch(p.name))

    @property
    def current(self) -> int | None:
        """The newest version, which TensorFlow Serving's default policy serves; None if there is none."""
        return max(self.versions(), default=None)

    def version(self, number: int) -> Path:
        """The directory of one version."""
        return self.base / str(number)

    def extra(self, number: int) -> "ExtraLayout":
        """The files beside a version's SavedModel."""
        return ExtraLayout.of_version(self.version(number))

    def manifest(self, number: int) -> Path:
        """Manifest of the version."""
        return self.extra(number).manifest

    def warmup_requests(self, number: int) -> Path:
        """Requests that a server replays before it serves the version."""
        return self.extra(number).warmup_requests


@dataclass(frozen=True)
class ExtraLayout:
    """The files beside a SavedModel in its version directory, in the folder that TensorFlow reserves for them."""

    root: Path

    @classmethod
    def of_version(cls, directory: Path) -> "ExtraLayout":
        """The extra files of a version directory, published or not."""
        return cls(directory / "assets.extra")

    @property
    def manifest(self) -> Path:
        """Manifest of the version: run, dataset and schema that it was exported from; written last."""
        return self.root / MANIFEST_NAME

    @property
    def warmup_requests(self) -> Path:
        """`PredictionLog` records that a server replays before it serves the version."""
        return self.root / "tf_serving_warmup_requests"

    @property
    def model_card(self) -> Path:
        """The model card."""
        return self.root / "README.md"

    @property
    def curve(self) -> Path:
        """Plot of the index's recall against its latency."""
        return self.root / "recall_latency.svg"

    def example(self, signature: str, api: Literal["grpc", "rest"]) -> Path:
        """A request of the signature as JSON: a `PredictRequest`, or the body of a `:predict` call."""
        return self.root / "examples" / f"{signature}.{api}.json"


@dataclass(frozen=True)
class EmbeddingsLayout:
    """Vectors of users and items, written by `recstack export --embeddings`."""

    root: Path

    @property
    def manifest(self) -> Path:
        """Written last."""
        return self.root / MANIFEST_NAME

    def table(self, of: Entity) -> Path:
        """All ids and vectors as Parquet."""
        return self.root / f"{of}.parquet"

    @property
    def projector(self) -> Path:
        """A log directory for TensorBoard's projector."""
        return self.root / "projector"
