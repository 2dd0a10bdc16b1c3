"""Tasks: what a ranking model learns to predict for a query and an item. No TensorFlow here.

A schema without tasks has one binary task `label`. Otherwise each task has a table:

    [[features.task]]
    name = "liked"
    threshold = 4.0          # 1 where the rating is at least 4

    [[features.task]]
    name = "rating"
    type = "regression"      # the rating itself

`name` is the key in the ranking records and the name of the model's head, its metrics and the signature's output.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from features.errors import ConfigError

TaskType: TypeAlias = Literal["binary", "regression"]

TASK_TYPES: tuple[TaskType, ...] = get_args(TaskType)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One label of an event: its name, its type and how it is derived from the log.

    Raises:
        ConfigError: The name is not an identifier, or a field contradicts another.
    """

    name: str
    """Key in the records and in the signature's outputs."""
    type: TaskType = "binary"
    """`binary`: the probability that the label is 1. `regression`: the rating in `pipeline.label.rating_column`."""
    threshold: float | None = None
    """Rating from which the label of a binary task is 1. Without it and `event_types`, `pipeline.label` decides."""
    event_types: tuple[str, ...] = ()
    """Event types for which the label of a binary task is 1. Without them and `threshold`, `pipeline.label` decides."""

    def __post_init__(self) -> None:
        self._require("name", self.name.isidentifier(), "a name of letters, digits and underscores")
        self._require("type", self.type in TASK_TYPES, f"one of {', '.join(TASK_TYPES)}")
        is_finite = self.threshold is None or math.isfinite(self.threshold)
        self._require("threshold", is_finite, "a finite number")
        is_binary = self.type == "binary"
        self._require("threshold", is_binary or self.threshold is None, 'none: a task of type "binary" has one')
        self._require("event_types", is_binary or not self.event_types, 'none: a task of type "binary" has them')
        is_one = self.threshold is None or not self.event_types
        self._require("event_types", is_one, "none beside a threshold: the label comes from one of the two")

    @property
    def label_of_a_negative(self) -> float:
        """Label of a sampled negative: 0 for a binary task; NaN for a rating, which is unknown."""
        return 0.0 if self.type == "binary" else math.nan

    def _require(self, field: str, ok: bool, expected: str) -> None:
        if not ok:
            raise ConfigError(f"features.task.{self.name or '?'}.{field}", getattr(self, field), expected)


DEFAULT_TASKS = (Task(name="label"),)
