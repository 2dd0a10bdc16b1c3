"""Libraries of custom TensorFlow operations, which a model's graph needs before it is loaded."""

import tensorflow as tf

from features.errors import ConfigError


def load_op_libraries(paths: str) -> None:
    """Registers the operations of shared libraries with TensorFlow.

    Args:
        paths: Paths of the libraries, separated by commas; empty for none.

    Raises:
        ConfigError: A library cannot be loaded.
    """
    for path in filter(None, paths.split(",")):
        try:
            tf.load_op_library(path)
        except (tf.errors.OpError, RuntimeError) as error:
            reason = getattr(error, "message", None) or str(error)
            raise ConfigError("op_libraries", path, f"a library of TensorFlow operations: {reason}") from None
