"""Turns a server's request log into a table of impressions: one row per item of each answer.

The log is TensorFlow Serving's: TFRecord files of `PredictionLog`, as `recstack serve --request_log_directory` writes
them. Reading it needs neither TensorFlow nor a server.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from features.disk.files import make_directory, write_bytes_atomically
from features.errors import InputError
from features.protocol.tensor_proto import decode
from features.protocol.wire import PredictionLog
from features.records.tfrecords import read_tfrecords

ITEM_IDS, SCORES = "item_ids", "scores"
_ENDING = ".tfrecord"


def write_impressions(log: Path, output: Path) -> tuple[list[Path], int]:
    """Writes one Parquet file for each finished file of a request log, except those that exist already.

    Args:
        log: the directory that the server logs to.
        output: directory for the Parquet files.

    Returns:
        The new files, and their total number of rows.

    Raises:
        InputError: there is no log, a file of it is damaged, or the output cannot be written.
    """
    if not log.is_dir():
        raise InputError(f"{log}: no such directory; give the server's --request_log_directory")
    make_directory(output)
    written, rows = [], 0
    # A file that the server is still writing has a leading dot.
    for file in sorted(log.glob(f"[!.]*{_ENDING}")):
        target = output / f"{file.name.removesuffix(_ENDING)}.parquet"
        if target.exists():
            continue
        table, buffer = read_impressions(file), pa.BufferOutputStream()
        pq.write_table(table, buffer)
        write_bytes_atomically(target, buffer.getvalue().to_pybytes())
        written.append(target)
        rows += table.num_rows
    return written, rows


def read_impressions(file: Path) -> pa.Table:
    """Reads the items of all answers in one log file.

    Returns:
        Columns: `timestamp` (int64, seconds since 1970-01-01 UTC of the answer), `model`, `version`, `signature`,
        `sampling_rate` (of the log), `item_id`, `score`, `rank` (from 1), and every input of the request with one value
        or list per query, under its own name; null where a request did not have it. Answers without `item_ids`, such as
        a ranking model's, give no rows.

    Raises:
        InputError: the file is damaged.
    """
    rows = [row for record in read_tfrecords(file) for row in _rows(PredictionLog.FromString(record))]
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _rows(log: Any) -> Iterator[dict[str, Any]]:
    request, response = log.predict_log.request, log.predict_log.response
    if ITEM_IDS not in response.outputs:
        return
    items = decode(response.outputs[ITEM_IDS])
    scores = decode(response.outputs[SCORES]) if SCORES in response.outputs else np.full(items.shape, np.nan)
    inputs = {name: _by_query(decode(proto), len(items)) for name, proto in request.inputs.items()}
    for query, (query_items, query_scores) in enumerate(zip(items, scores, strict=True)):
        answered = {
            "timestamp": log.log_metadata.timestamp_secs,
            "model": response.model_spec.name,
            "version": response.model_spec.version.value,
            "signature": response.model_spec.signature_name,
            "sampling_rate": log.log_metadata.sampling_config.sampling_rate,
        }
        answered |= {name: values[query] for name, values in inputs.items() if values is not None}
        shown = [(_plain(item), score) for item, score in zip(query_items, query_scores.tolist(), strict=True) if item]
        for rank, (item, score) in enumerate(shown, 1):
            yield answered | {"item_id": item, "score": score, "rank": rank}


def _by_query(values: npt.NDArray[Any], queries: int) -> list[Any] | None:
    """One value or list per query; None for inputs of the whole call, such as `k`."""
    if not values.ndim or len(values) not in (1, queries):
        return None
    return [_plain(values[0 if len(values) == 1 else query]) for query in range(queries)]


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
