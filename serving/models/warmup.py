"""Warm-up: recorded requests replayed before a version becomes available."""

from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving.api.classify_regress import run_classify, run_multi_inference, run_regress
from serving.api.predict import run_predict
from serving.errors import ServingError, from_exception, invalid_argument
from serving.models.servable import Runnable

RECORDS = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def warm_up(servable: Runnable, path: str, iterations: int) -> int:
    """Replays the version directory's warm-up records, if it has any.

    Args:
        servable: the version just loaded.
        path: its directory.
        iterations: how often each record is replayed.

    Returns:
        The number of records.

    Raises:
        ServingError: a record does not parse, there are more than 1,000, or a request fails. The load fails then.
    """
    file = Path(path) / RECORDS
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
                _replay(servable, log)
    except DecodeError:
        raise invalid_argument(f"Failed to parse warmup record: {count} from {file}") from None
    except tf.errors.OpError as error:
        raise from_exception(error) from None
    return count


def _replay(servable: Runnable, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    try:
        match kind:
            case "predict_log":
                run_predict(servable, log.predict_log.request, None)
            case "classify_log":
                run_classify(servable, log.classify_log.request, None)
            case "regress_log":
                run_regress(servable, log.regress_log.request, None)
            case "multi_inference_log":
                run_multi_inference(servable, log.multi_inference_log.request, None)
            case _:
                raise invalid_argument(f"Unsupported log_type for warmup: {kind}")
    except ServingError as error:
        raise ServingError(error.code, f"warm-up request failed: {error.message}") from None
