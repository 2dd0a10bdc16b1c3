"""Values that a SavedModel shall not follow into."""

from typing import Any


class Untracked:
    """Hides a value from TensorFlow's object tracking."""

    def __init__(self, value: Any) -> None:
        """Holds `value`."""
        self.value = value
