"""What is saved: modules whose signatures take raw values. Nothing in them needs recstack or Keras once loaded."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import tensorflow as tf

from features.encoding.encoder import Tensors
from features.encoding.schema_encoder import SchemaEncoder
from features.encoding.signature import raw_missing, raw_spec
from trainer.export.items import ItemFeatures
from trainer.export.query import HistoryEntries, QueryInputs
from trainer.export.signatures import Input, Outputs, make_signature
from trainer.export.untracked import Untracked
from trainer.index.filtered_retriever import ItemBonus, Retriever
from trainer.layers.attribution import Explanation
from trainer.ranking.explanation import Pairs
from trainer.retrieval.repeat_bonus import EntriesOfHistories, RepeatBonus

EXCLUSIONS = "exclude_item_ids"
Embed: TypeAlias = Callable[[Tensors], tf.Tensor]
Repeat: TypeAlias = Callable[[EntriesOfHistories], RepeatBonus]
Score: TypeAlias = Callable[[Tensors, Tensors, tf.Tensor], Tensors]


@dataclass(frozen=True, kw_only=True)
class Towers:
    """The trained two-tower model as plain functions of encoded features, and the variables behind them.

    A SavedModel that tracked the Keras objects would carry their metadata and training functions as well.
    """

    embed_query: Embed
    """Encoded query features to `[batch, d] float32`."""
    embed_candidate: Embed
    """Encoded candidate features to `[n, d] float32`."""
    variables: Iterable[tf.Variable]
    repeats: Repeat | None = None
    """Histories to what is added to the scores of their items; None if nothing is."""


@dataclass(frozen=True, kw_only=True)
class Ranker:
    """The trained ranking model as a plain function of encoded features, and the variables behind it."""

    score: Score
    """Encoded features of queries, `[batch, …]`, and of candidates, `[n, …]`, and each candidate's query, `[n] int32`,
    to one `[n] float32` of scores a task."""
    predictions: Callable[[Tensors], Tensors]
    """Scores by task to what is predicted by task."""
    log_chance: Callable[[Tensors], tf.Tensor]
    """Scores by task to the log of the chance that the user is content with the item, by which the cascade ranks."""
    explain: Callable[[Pairs], Explanation]
    """What features of candidates contribute to that log."""
    explained: tuple[str, ...]
    """Names of these features."""
    variables: Iterable[tf.Variable]


_HARMLESS_COUNT = 10_000


class RetrievalServable(tf.Module):
    """`retrieval` and `retrieval_exact`: queries to item ids."""

    def __init__(
        self, encoder: SchemaEncoder, query: QueryInputs, towers: Towers, retriever: Retriever, default_k: int
    ) -> None:
        """Puts the parts together; `default_k` items are returned where a request does not say how many."""
        super().__init__(name="retrieval")
        self.encoder, self.query, self.retriever = encoder, query, retriever
        self._variables = list(towers.variables)
        self._towers = Untracked(towers)
        self._default_k = default_k
        self._history_entries = (
            HistoryEntries(query, retriever.item_ids, with_ages=True) if towers.repeats is not None else None
        )

    def signatures(self) -> dict[str, Any]:
        """`serving_default`, `retrieve`, `embed_query`, `embed_item`, and the two halves of `embed_query`.

        `encode_query` is what needs strings, `embed_encoded_query` the tower alone: plain arithmetic, which converters
        to other runtimes understand.
        """
        query = self.query.inputs()
        choice = {"k": Input(spec=tf.TensorSpec([], tf.int32), default=tf.constant(self._default_k))}
        return {
            "serving_default": make_signature(self._top_k, query),
            "retrieve": make_signature(self._retrieve, query | choice | self.restrictions()),
            "embed_query": make_signature(self._embed_query, query),
            "embed_item": make_signature(self._embed_item, _candidate_inputs(self.encoder)),
            "encode_query": make_signature(self._encode_query, query),
            "embed_encoded_query": make_signature(self._embed_encoded_query, _encoded_inputs(self.encoder)),
        }

    @property
    def most_items(self) -> int:
        """Most items that a request may ask for: the catalogue, or a number that does no harm where that is small."""
        return max(self.retriever.index.num_items, _HARMLESS_COUNT)

    def restrictions(self) -> dict[str, Input]:
        """Optional inputs that say which items not to return, each `[batch, …]`, or `[1, …]` for the whole batch.

        `exclude_item_ids [batch, e]`, and the filters over item attributes that `trainer.index.attributes` names.
        """
        exclusions = {EXCLUSIONS: Input(spec=tf.TensorSpec([None, None], tf.string), default=tf.constant([[""]]))}
        return exclusions | {
            name: Input(spec=spec, default=tf.constant([[""]] if spec.dtype == tf.string else [math.nan]))
            for name, spec in self.retriever.filter_specs().items()
        }

    def embed_query(self, encoded: Tensors) -> tf.Tensor:
        """Encoded query features by name to `[batch, d] float32`."""
        return self._towers.value.embed_query(encoded)

    def filters(self, request: Tensors) -> Tensors:
        """The filters in a request."""
        return {name: request[name] for name in self.retriever.filter_specs()}

    def _top_k(self, request: Tensors) -> Outputs:
        encoded = self._encode_query(request)
        embeddings = self.embed_query(encoded)
        added = self.bonus(request, encoded)
        found = self.retriever.retrieve(embeddings, tf.constant(self._default_k), added=added)
        return {"item_ids": found.item_ids, "scores": found.scores}

    def _retrieve(self, request: Tensors) -> Outputs:
        encoded = self._encode_query(request)
        embeddings = self.embed_query(encoded)
        count = checked_count("k", request["k"], self.most_items)
        found = self.retriever.retrieve(
            embeddings, count, request[EXCLUSIONS], self.filters(request), self.bonus(request, encoded)
        )
        return {"item_ids": found.item_ids, "scores": found.scores}

    def bonus(self, request: Tensors, encoded: Tensors) -> ItemBonus | None:
        """What the history's own items get on top of their scores; None where nothing is added."""
        if self._history_entries is None:
            return None
        batch = tf.shape(request[self.query.required], tf.int64)[0]
        repeats = self._towers.value.repeats(self._history_entries(request, encoded))
        ids = tf.cast(repeats.query, tf.int64)
        rows, scores = (tf.RaggedTensor.from_value_rowids(part, ids, batch) for part in (repeats.rows, repeats.scores))
        return ItemBonus(rows.to_tensor(-1), scores.to_tensor(0.0))

    def _embed_query(self, request: Tensors) -> Outputs:
        return self._embed_encoded_query(self._encode_query(request))

    def _encode_query(self, request: Tensors) -> Tensors:
        return self.query.encode(request, self.encoder)

    def _embed_encoded_query(self, encoded: Tensors) -> Outputs:
        return {"embedding": self.embed_query(encoded)}

    def _embed_item(self, request: Tensors) -> Outputs:
        batch = tf.shape(request[self.encoder.schema.item_id])[0]
        raw = {name: tf.broadcast_to(v, tf.concat([[batch], tf.shape(v)[1:]], 0)) for name, v in request.items()}
        return {"embedding": self._towers.value.embed_candidate(self.encoder.encode_candidate(raw))}


class RankingServable(tf.Module):
    """`ranking`: a query and some item ids to one score an item and task."""

    def __init__(self, encoder: SchemaEncoder, query: QueryInputs, ranker: Ranker, items: ItemFeatures) -> None:
        """Puts the parts together."""
        super().__init__(name="ranking")
        self.encoder, self.query, self.items = encoder, query, items
        self._variables = list(ranker.variables)
        self._ranker = Untracked(ranker)

    def signatures(self) -> dict[str, Any]:
        """`serving_default`: query features and `item_ids [batch, n]` to a prediction `[batch, n] float32` a task.

        The empty item id gets 0.
        """
        item_ids = {"item_ids": Input(spec=tf.TensorSpec([None, None], tf.string))}
        return {"serving_default": make_signature(self._rank, self.query.inputs() | item_ids)}

    def _rank(self, request: Tensors) -> Outputs:
        item_ids = request["item_ids"]
        is_item = tf.cast(item_ids != "", tf.float32)
        items = self.items(tf.reshape(item_ids, [-1]))
        scores = self._scores(self.query.encode(request, self.encoder), items, tf.shape(item_ids))
        return {task: is_item * values for task, values in self._ranker.value.predictions(scores).items()}

    def log_chances(self, query: Tensors, items: Tensors, shape: tf.Tensor) -> tf.Tensor:
        """Log of the chance that the user is content with each item, `[batch, n] float32`.

        Args:
            query: encoded query features, `[batch, …]`.
            items: encoded candidate features, `[batch * n, …]`.
            shape: `[2] int32`, batch and n.
        """
        log_chances: tf.Tensor = self._ranker.value.log_chance(self._scores(query, items, shape))
        return log_chances

    @property
    def explained(self) -> tuple[str, ...]:
        """Names of the features whose contributions `explain` tells."""
        explained: tuple[str, ...] = self._ranker.value.explained
        return explained

    def explain(self, pairs: Pairs) -> Explanation:
        """Explains `log_chances`."""
        explanation: Explanation = self._ranker.value.explain(pairs)
        return explanation

    def _scores(self, query: Tensors, items: Tensors, shape: tf.Tensor) -> Tensors:
        """Each task's scores, `[batch, n] float32`; arguments as for `log_chances`."""
        query_of_pair = tf.repeat(tf.range(shape[0]), shape[1])
        scores = self._ranker.value.score(query, items, query_of_pair)
        return {task: tf.reshape(values, shape) for task, values in scores.items()}


def checked_count(name: str, count: tf.Tensor, most: int) -> tf.Tensor:
    """The count, refused inside the graph (INVALID_ARGUMENT) where it is negative or above `most`.

    Answers are padded to the count, so without a bound a single request could ask for all of the server's memory.
    """
    checks = [
        tf.debugging.assert_non_negative(count, message=f"{name} must be at least 0"),
        tf.debugging.assert_less_equal(count, most, message=f"{name} must be at most {most}"),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(count)


def _candidate_inputs(encoder: SchemaEncoder) -> dict[str, Input]:
    """Raw candidate features; all but the item id may be left out."""
    inputs = {}
    for feature in encoder.schema.candidate:
        required = feature.name == encoder.schema.item_id
        inputs[feature.name] = Input(spec=raw_spec(feature), default=None if required else raw_missing(feature))
    return inputs


def _encoded_inputs(encoder: SchemaEncoder) -> dict[str, Input]:
    """Encoded query features, all required: indices or numbers, `[batch]` or `[batch, width]`."""
    inputs = {}
    for feature in encoder.schema.query:
        encoded = encoder.encoded(feature)
        shape = [None] if encoded.form == "single" else [None, encoded.width]
        inputs[feature.name] = Input(spec=tf.TensorSpec(shape, tf.float32 if encoded.form == "dense" else tf.int32))
    return inputs
