"""The two-tower retrieval model."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.encoding.encoder import Encoded, Tensors
from features.encoding.schema_encoder import SchemaEncoder
from features.schema import Schema
from trainer.config.retrieval import EncoderKind, RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import HISTORY_AGES, HISTORY_ROWS
from trainer.layers.dropout import StepDropout
from trainer.layers.embedding import EmbeddingTable, make_tables
from trainer.layers.encoders import ENCODERS
from trainer.retrieval.item_vectors import FrozenItemVectors, ItemVectors
from trainer.retrieval.losses.pairwise import bce_loss, bpr_loss, gbce_power
from trainer.retrieval.losses.softmax import bonus_among, log_sum_exp_of_products, positives_among, softmax_loss
from trainer.retrieval.negatives.hard import HardNegatives
from trainer.retrieval.negatives.sources import NegativeSource, SampledNegatives, make_source
from trainer.retrieval.repeat_bonus import EntriesOfHistories, RepeatBonus, RepeatBonusLayer
from trainer.retrieval.tower import Ensemble, Tower

# In units of the score: what a factor e in train frequency adds at first. The best constant on Gowalla was 0.05 at a
# temperature of 0.1, so it is kept as a share of the temperature.
_BIAS_PER_LOG_FREQUENCY = 0.5
# More than a model has tables or dropout layers, and fewer than tell the replicas apart.
_SEEDS_A_MEMBER = 100


class TwoTowerModel(tfrs.Model):
    """Scores a query and a candidate by the inner product of their towers' vectors.

    `query_tower` and `candidate_tower` map encoded features by name to `[batch, d] float32`; normalisation and the
    item bias are inside, so that an index needs nothing but their vectors. Of several models, an ensemble, each has its
    own embeddings and loss, and the vectors stand side by side.
    """

    def __init__(
        self,
        config: RetrievalConfig,
        encoder: SchemaEncoder,
        candidates: EncodedCatalogue,
        *,
        seed: int,
    ) -> None:
        """Creates every weight, under the strategy's scope if there is one."""
        super().__init__()
        self.config = config
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.query_towers: list[Tower] = []
        self.candidate_towers: list[Tower] = []
        self.item_tables: list[EmbeddingTable] = []
        for number, kind in enumerate((config.encoder.kind, *config.ensemble)):
            self._add_member(kind, number, encoder, candidates, seed)
        self.query_tower = _side_by_side(self.query_towers, 1 / len(self.query_towers))
        self.candidate_tower = _side_by_side(self.candidate_towers, 1.0)
        history = encoder.schema.history
        self._history = history.name if history is not None else ""
        self.repeat_layer = _repeat_layer(config, encoder.schema)
        self._candidates = candidates
        self._source: NegativeSource = make_source(config.loss, candidates.train_frequency, seed)
        self._hard = _hard_negatives(config, len(candidates))

    def compute_loss(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """Weighted sum of the losses of the batch's positives.

        Args:
            inputs: `query`: encoded query features of Q queries; `positive_query [m] int32`, `positive_row [m] int32`
                and `weight [m] float32` of the positives. In place of the histories may come all of them at once:
                `items`, `positions` and each of `beside`, `[R, W] int32`, packed, and `state [Q, 2] int64`, the place
                after which each query is asked.
            training: whether dropout is on.

        Returns:
            `[] float32`.
        """
        positive_query, positive_rows = inputs["positive_query"], inputs["positive_row"]
        negatives = self._source.draw(positive_rows, self.step)
        temperature = self.config.loss.temperature
        queries = [self._embed_queries(tower, inputs, training) / temperature for tower in self.query_towers]
        repeats = None if self.repeat_layer is None else self.repeat_layer(self._history_of(inputs["query"]))
        if self._hard is not None:
            catalogue = partial(self.embed_candidates, self._candidates)
            negatives = self._hard.add(negatives, tf.concat(queries, axis=1), self.step, catalogue)
        losses = [
            self._member_losses(vectors, tower, (positive_query, positive_rows), negatives, repeats, training)
            for vectors, tower in zip(queries, self.candidate_towers, strict=True)
        ]
        return tf.reduce_sum(inputs["weight"] * tf.add_n(losses)) / len(losses)

    def _member_losses(
        self,
        queries: tf.Tensor,
        tower: Tower,
        positive: tuple[tf.Tensor, tf.Tensor],
        negatives: SampledNegatives,
        repeats: RepeatBonus | None,
        training: bool,
    ) -> tf.Tensor:
        """`[m] float32`: the loss of each positive, given by its query and its row, in one model of the ensemble."""
        positive_query, positive_rows = positive
        positives = tower(self._candidates.gather(positive_rows), training=training)
        others = tower(self._candidates.gather(negatives.rows), training=training)
        positive_logits = tf.reduce_sum(tf.gather(queries, positive_query) * positives, axis=1)
        hits = positives_among(negatives.rows, positive_query, positive_rows)
        added = None
        if repeats is not None:
            positive_logits += repeats.of(positive_query, positive_rows)
            added = bonus_among(negatives.rows, *repeats)
        if self.config.loss.kind == "softmax":
            log_sum_exp = log_sum_exp_of_products(queries, others, negatives.log_weights, hits, added)
            return softmax_loss(positive_logits, tf.gather(log_sum_exp, positive_query))
        negative_logits = tf.matmul(queries, others, transpose_b=True)
        if added is not None:
            negative_logits = tf.tensor_scatter_nd_add(negative_logits, *added)
        return self._pairwise_loss(positive_logits, negative_logits, hits, positive_query)

    def _pairwise_loss(
        self, positive_logits: tf.Tensor, negative_logits: tf.Tensor, hits: tf.Tensor, positive_query: tf.Tensor
    ) -> tf.Tensor:
        config = self.config.loss
        ones = tf.ones_like(negative_logits)
        is_negative = tf.tensor_scatter_nd_update(ones, hits, tf.zeros_like(hits[:, 0], tf.float32))
        if config.kind == "bpr":
            return bpr_loss(positive_logits, negative_logits, is_negative, positive_query)
        drawn = len(self._candidates) if config.negatives == "all" else config.num_negatives
        rate = min(1.0, drawn / max(1, len(self._candidates) - 1))
        power = gbce_power(rate, config.calibration) if config.kind == "gbce" else 1.0
        return bce_loss(positive_logits, negative_logits, is_negative, positive_query, power=power)

    def embed_candidates(self, candidates: EncodedCatalogue) -> tf.Tensor:
        """`[items, d] float32`: the catalogue, in its order."""
        blocks = range(0, len(candidates), 65_536)
        rows = [tf.range(start, min(start + 65_536, len(candidates))) for start in blocks]
        return tf.concat([self.candidate_tower(candidates.gather(block)) for block in rows], axis=0)

    def repeats(self, query: Tensors) -> RepeatBonus | None:
        """What the histories of queries as `gather_query` makes them add to the scores of their own items, if any."""
        return None if self.repeat_layer is None else self.repeats_in(self._history_of(query))

    def repeats_in(self, entries: EntriesOfHistories) -> RepeatBonus:
        """As `repeats`, of the histories alone."""
        assert self.repeat_layer is not None
        repeats: RepeatBonus = self.repeat_layer(entries)
        return repeats._replace(scores=self.config.repeat * self.config.loss.temperature * repeats.scores)

    def _history_of(self, query: Tensors) -> EntriesOfHistories:
        return EntriesOfHistories(query[HISTORY_ROWS], query[self._history] > 0, query.get(HISTORY_AGES))

    def _embed_queries(self, tower: Tower, inputs: Mapping[str, Any], training: bool) -> tf.Tensor:
        if "items" not in inputs:
            return tower(inputs["query"], training=training)
        encoder = tower.history_encoder
        states = encoder.all_states(inputs["items"], inputs["positions"], training, inputs["beside"])
        return tower.combine(inputs["query"], tf.gather_nd(states, inputs["state"]))

    def freeze(self) -> None:
        """Computes what only training changes; for models that are not trained any more."""
        for tower in self.query_towers:
            if tower.history_name is not None and isinstance(tower.history_encoder.item_vectors, ItemVectors):
                tower.history_encoder.item_vectors = FrozenItemVectors(tower.history_encoder.item_vectors)

    def _add_member(
        self, kind: EncoderKind, number: int, encoder: SchemaEncoder, candidates: EncodedCatalogue, seed: int
    ) -> None:
        """One model of the ensemble: its tables and both towers."""
        config, schema = self.config, encoder.schema
        tables = _make_tables(config, encoder, seed + _SEEDS_A_MEMBER * number)
        query, candidate = _make_towers(config, kind, encoder, tables, self.step)
        for layer in query.submodules:
            if isinstance(layer, StepDropout):
                layer.number += _SEEDS_A_MEMBER * number  # masks of its own
        if schema.history is not None and config.encoder.side_features and len(candidates.features) > 1:
            first_index = encoder.lookup(schema.item_id).vocabulary.first_token_index
            item_vectors = ItemVectors(candidate, candidates, first_index=first_index)
            query.history_encoder.item_vectors = item_vectors
        self._start_bias(candidate, schema, candidates)
        self.query_towers.append(query)
        self.candidate_towers.append(candidate)
        self.item_tables.append(tables[schema.item_id])

    def _start_bias(self, tower: Tower, schema: Schema, candidates: EncodedCatalogue) -> None:
        if not self.config.item_bias:
            return
        start = np.zeros(tower.bias.shape, np.float32)
        log_frequency = np.log(np.maximum(candidates.train_frequency, 1)).astype(np.float32)
        scale = _BIAS_PER_LOG_FREQUENCY * self.config.loss.temperature
        # Items that share a bucket share a bias, that of the last of them; they have few interactions or none.
        start[candidates.features[schema.item_id].numpy()] = scale * log_frequency
        tower.bias.assign(start)


def _hard_negatives(config: RetrievalConfig, num_items: int) -> HardNegatives | None:
    if not config.loss.hard_negatives:
        return None
    return HardNegatives(
        num_items,
        (config.dimension + config.item_bias) * (1 + len(config.ensemble)),
        a_query=config.loss.hard_negatives,
        refresh_steps=config.loss.index_steps,
    )


def _repeat_layer(config: RetrievalConfig, schema: Schema) -> RepeatBonusLayer | None:
    if not config.repeat:
        return None
    assert schema.history is not None, "require_history"
    return RepeatBonusLayer(schema.history.length, with_ages=schema.history_times is not None)


def _encoded(encoder: SchemaEncoder) -> tuple[dict[str, Encoded], dict[str, Encoded]]:
    schema = encoder.schema
    query: dict[str, Encoded] = {feature.name: encoder.encoded(feature) for feature in schema.query}
    return query, {feature.name: encoder.encoded(feature) for feature in schema.candidate}


def _make_tables(config: RetrievalConfig, encoder: SchemaEncoder, seed: int) -> dict[str, EmbeddingTable]:
    query, candidate = _encoded(encoder)
    # With a history, a user's own embedding starts as what it is there: a correction to the history's vector.
    schema = encoder.schema
    random_tables = frozenset({schema.item_id} if schema.history is not None else {schema.item_id, schema.user_id})
    return make_tables(query | candidate, config.dimension, random_tables, stddev=config.dimension**-0.5, seed=seed)


def _side_by_side(towers: list[Tower], weight: float) -> Tower | Ensemble:
    return towers[0] if len(towers) == 1 else Ensemble(towers, weight)


def _make_towers(
    config: RetrievalConfig,
    kind: EncoderKind,
    encoder: SchemaEncoder,
    tables: Mapping[str, EmbeddingTable],
    step: tf.Variable,
) -> tuple[Tower, Tower]:
    schema = encoder.schema
    query, candidate = _encoded(encoder)
    feature, history = schema.history, None
    if feature is not None:
        item_table, its_own = tables[schema.item_id], replace(config.encoder, kind=kind)
        layer = ENCODERS[kind](its_own, item_table, length=feature.length, step=step)
        layer.companions = {companion.name: tables[companion.name] for companion in schema.history_companions}
        history = feature.name, layer
    return (
        Tower(query, tables, config, history=history, step=step),
        Tower(candidate, tables, config, item_id=schema.item_id, step=step),
    )
