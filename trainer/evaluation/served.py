"""Queries of a split as clients would send them, and what a SavedModel answers to them.

The queries are made from the raw values of the records, not from what training encodes, so that a comparison of both
shows whether serving is as training.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.disk.layout import DatasetLayout, ModelName, Split
from features.records.contents import EVENT_TYPE, IN_HISTORY, NUM_CONTEXT
from features.records.parse import interaction_parsing_spec, read_records, reading
from features.schema import Schema
from trainer.metrics.protocol import Int

_RECORDS_A_BATCH = 2048
_QUERIES_A_CALL = 256
_EXCLUSIONS = "exclude_item_ids"

# Of each model that answers lists: its signature, and the input that takes the length of the lists.
_SIGNATURES: Mapping[ModelName, tuple[str, str]] = {
    "retrieval": ("retrieve", "k"),
    "retrieval_exact": ("retrieve", "k"),
    "recommender": ("serving_default", "limit"),
}
LIST_MODELS: tuple[ModelName, ...] = tuple(_SIGNATURES)
"""The models that answer lists of items."""


@dataclass(frozen=True, kw_only=True)
class RawQueries:
    """Queries as clients would send them."""

    inputs: Mapping[str, Sequence[Any]]
    """One raw value or list of values a query, by the name of the query feature."""
    seen: Sequence[Sequence[bytes]]
    """The items that each query's user has interacted with."""

    def __len__(self) -> int:
        return len(self.seen)

    def take(self, places: Int) -> "RawQueries":
        """The queries at these places, `[n] int64`."""
        inputs = {name: [values[place] for place in places] for name, values in self.inputs.items()}
        return RawQueries(inputs=inputs, seen=[self.seen[place] for place in places])


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a SavedModel answers."""

    item_ids: npt.NDArray[np.object_]
    """`[queries, k] bytes`, best first; empty where a list is short."""
    scores: npt.NDArray[np.float32]
    """`[queries, k]`."""


def raw_queries(schema: Schema, dataset: DatasetLayout, split: Split) -> RawQueries:
    """One query a record with targets, asked at its first target: in the order of `evaluation_set`.

    Raises:
        InputError: the split is missing or damaged.
    """
    directory = dataset.interactions(split)
    inputs: dict[str, list[Any]] = {feature.name: [] for feature in schema.query}
    seen: list[list[bytes]] = []
    with reading(directory):
        for record in _records(schema, directory):
            asked = int(record[NUM_CONTEXT])
            if asked >= len(record[schema.item_id]):
                continue
            for name, value in _query(schema, record, asked).items():
                inputs[name].append(value)
            seen.append(sorted(set(record[schema.item_id][:asked])))
    return RawQueries(inputs=inputs, seen=seen)


def _records(schema: Schema, directory: Path) -> Iterator[Mapping[str, Any]]:
    """Each record of a split, raw: a value, or a list of one value an event."""
    spec = interaction_parsing_spec(schema, records="retrieval")
    for batch in read_records(directory, spec, _RECORDS_A_BATCH):
        columns = {
            name: values.to_list() if isinstance(values, tf.RaggedTensor) else values.numpy()
            for name, values in batch.items()
        }
        for number in range(len(columns[NUM_CONTEXT])):
            yield {name: values[number] for name, values in columns.items()}


def _query(schema: Schema, record: Mapping[str, Any], asked: int) -> Mapping[str, Any]:
    """Raw query features by name, of the event at place `asked` of a record; histories are strictly before it."""
    times = record[schema.timestamp]
    before = [place for place in range(asked) if times[place] < times[asked] and record[IN_HISTORY][place]]
    query = {feature.name: record[feature.name] for feature in schema.user_features}
    query |= {feature.name: record[feature.name][asked] for feature in schema.context_features}
    if schema.history is not None:
        last = before[-schema.history.length :]
        query[schema.history.name] = [record[schema.item_id][place] for place in last]
        if schema.history_event_types is not None:
            query[schema.history_event_types.name] = [record[EVENT_TYPE][place] for place in last]
        if schema.history_times is not None:
            query[schema.history_times.name] = [times[place] for place in last]
    return query


class ServedModel:
    """One version of a SavedModel, loaded into this process and called through its signatures."""

    def __init__(self, model: ModelName, version: Path) -> None:
        """Loads the version; a graph with a ScaNN index needs ScaNN's operations first."""
        from scann.scann_ops.py import scann_ops  # noqa: F401 - registers the operations

        self.model = model
        self._loaded = tf.saved_model.load(str(version))

    def top_k(self, queries: RawQueries, k: int, *, exclude_seen: bool) -> Answers:
        """The best k items of each query.

        Args:
            queries: at least one.
            k: length of the lists.
            exclude_seen: whether the items that a user has interacted with are left out.
        """
        signature, count = _SIGNATURES[self.model]
        inputs = {_EXCLUSIONS: queries.seen} if exclude_seen else {}
        whole = {count: np.int32(k), "exclude_seen": np.bool_(exclude_seen)}
        answers = self._answers(signature, replace(queries, inputs={**queries.inputs, **inputs}), whole)
        return Answers(item_ids=answers["item_ids"], scores=answers["scores"])

    def embed(self, queries: RawQueries) -> npt.NDArray[np.float32]:
        """`[queries, d] float32`: the vectors of one query or more."""
        vectors: npt.NDArray[np.float32] = self._answers("embed_query", queries, {})["embedding"]
        return vectors

    def predict(self, queries: RawQueries, item_ids: Sequence[Sequence[bytes]]) -> dict[str, npt.NDArray[np.float32]]:
        """What `ranking` predicts of as many items of each query, one query or more: `[queries, n] float32` by task."""
        given = replace(queries, inputs={**queries.inputs, "item_ids": item_ids})
        return self._answers("serving_default", given, {})

    def _answers(self, signature: str, queries: RawQueries, whole: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """The outputs of a signature by name, for all queries, with inputs of the `whole` call by name."""
        function = self._loaded.signatures[signature]
        specs = function.structured_input_signature[1]
        answers = []
        for start in range(0, len(queries), _QUERIES_A_CALL):
            given = queries.take(np.arange(start, min(start + _QUERIES_A_CALL, len(queries)))).inputs
            # A loaded signature has no defaults: what a query does not say is given as missing.
            tensors = {name: _tensor(spec, given.get(name), whole.get(name)) for name, spec in specs.items()}
            answers.append(function(**tensors))
        return {name: np.concatenate([answer[name].numpy() for answer in answers]) for name in answers[0]}


def _tensor(spec: tf.TensorSpec, values: Sequence[Any] | None, whole: Any) -> tf.Tensor:
    """An input of a signature: values of the queries, or one for the whole call, or what stands for none."""
    if spec.shape.rank == 0:
        return tf.constant(0 if whole is None else whole, spec.dtype)
    missing = {tf.string: b"", tf.float32: float("nan")}.get(spec.dtype, 0)
    if values is None:
        return tf.fill([size or 1 for size in spec.shape], tf.constant(missing, spec.dtype))
    if spec.shape.rank == 1:
        return tf.constant(list(values), spec.dtype)
    width = spec.shape[1] or max(1, *map(len, values))
    padded = [[*row, *[missing] * (width - len(row))] for row in values]
    return tf.constant(padded, spec.dtype, shape=[len(padded), width])
