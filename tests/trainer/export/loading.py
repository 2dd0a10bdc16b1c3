"""Exported versions, each loaded once."""

from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf

from features.disk.layout import ModelName
from recstack.config import StackConfig


def load(stack: StackConfig, model: ModelName) -> Any:
    """The newest version of a model."""
    layout = stack.layout.model(model)
    assert layout.current is not None
    return _load(layout.version(layout.current))


@cache
def _load(version: Path) -> Any:
    return tf.saved_model.load(str(version))
