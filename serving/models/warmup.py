"""Warm-up: recorded requests of a version directory, replayed before the version becomes available."""

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from features.disk.exported import ExtraLayout
from serving.errors import from_exception, invalid_argument

MAX_RECORDS = 1000


def warm_up(path: str, replay: Callable[[prediction_log_pb2.PredictionLog], None], iterations: int) -> int:
    """Replays the warm-up records of a version directory, if it has any.

    Args:
        path: The version directory.
        replay: Answers one recorded request.
        iterations: Number of times each record is replayed.

    Returns:
        The number of records.

    Raises:
        ServingError: A record does not parse, there are more than 1,000, or a request fails. The load fails then.
    """
    file = ExtraLayout.of_version(Path(path)).warmup_requests
    if not file.is_file():
        return 0
    count = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(file)):
            count += 1
            if count > MAX_RECORDS:
                raise invalid_argument(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}: remove some"
                )
            log = prediction_log_pb2.PredictionLog.FromString(record)
            for _ in range(iterations):
                replay(log)
    except DecodeError:
        raise invalid_argument(f"Failed to parse warmup record: {count} from {file}") from None
    except tf.errors.OpError as error:
        raise from_exception(error) from None
    return count
