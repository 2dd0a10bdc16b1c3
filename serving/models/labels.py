"""Version labels: names for versions of a model, which clients use instead of numbers."""

import threading
from collections.abc import Mapping

from serving.errors import Code, ServingError, invalid_argument
from serving.models.states import State, StateBoard

Labels = Mapping[str, Mapping[str, int]]
"""Version number by label, by model."""


class VersionLabels:
    """The labels of all models."""

    def __init__(self, board: StateBoard, *, allow_unavailable: bool) -> None:
        """Starts without labels.

        Args:
            board: Knows which versions are available.
            allow_unavailable: Whether a label may name a version that is not available, unless it names another now.
        """
        self._board = board
        self._allow_unavailable = allow_unavailable
        self._labels: Labels = {}
        self._lock = threading.Lock()

    def version(self, name: str, label: str) -> int:
        """The version of a model that a label names.

        Raises:
            ServingError: The model has no such label.
        """
        with self._lock:
            version = self._labels.get(name, {}).get(label)
        if version is None:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return version

    def replace(self, wanted: Labels) -> None:
        """Replaces the labels of all models.

        Raises:
            ServingError: A label names a version that is not available and may not; no label is changed.
        """
        for name, version in self.unavailable(wanted):
            raise ServingError(
                Code.FAILED_PRECONDITION,
                f"Request to assign label to version {version} of model {name}, which is not currently available for "
                "inference",
            )
        with self._lock:
            self._labels = wanted

    def unavailable(self, wanted: Labels) -> list[tuple[str, int]]:
        """Models and versions for which `replace` would refuse the labels."""
        return [
            (name, version)
            for name, labels in wanted.items()
            for label, version in labels.items()
            if not (self._is_available(name, version) or self._may_wait(name, label, version))
        ]

    def _is_available(self, name: str, version: int) -> bool:
        status = self._board.of(name).get(version)
        return status is not None and status.state is State.AVAILABLE

    def _may_wait(self, name: str, label: str, version: int) -> bool:
        current = self._labels.get(name, {}).get(label, version)
        return self._allow_unavailable and current == version
