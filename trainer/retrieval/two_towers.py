"""The query and the candidate tower of a retrieval model, or of each model of an ensemble, and the scores they give."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from features.encoding.encoder import Tensors
from features.encoding.schema_encoder import SchemaEncoder
from features.schema import Schema
from features.spec.base import Feature
from trainer.config.encoders import EncoderConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.events import HISTORY_AGES, HISTORY_ROWS
from trainer.layers.dropout import DropoutSeries
from trainer.layers.embedding import TablesOfModel, make_tables, special_indices
from trainer.layers.encoders.base import make_encoder
from trainer.layers.gated_features import GatedFeatures
from trainer.layers.history_embedding import HistoryEmbedding
from trainer.layers.tables.contract import EmbeddingTable
from trainer.retrieval.item_vectors import ItemVectors
from trainer.retrieval.repeat_bonus import EntriesOfHistories, RepeatBonus, RepeatBonusLayer
from trainer.retrieval.semantic_ids import SEMANTIC_IDS, SemanticCodes, SemanticIds, make_semantic_codes
from trainer.retrieval.tower import CandidateTower, Ensemble, HistoryPart, ItemIds, QueryTower, Tower, mixing_layers

FeatureT = TypeVar("FeatureT", bound=Feature)

# In units of the score: what a factor e in train frequency adds at first. The best constant on Gowalla was 0.05 at a
# temperature of 0.1, so it is kept as a share of the temperature.
_BIAS_PER_LOG_FREQUENCY = 0.5
# More than a model has tables or dropout layers, and fewer than tell the replicas apart.
_SEEDS_A_MODEL = 100
_ITEMS_A_BLOCK = 65_536


class TowerPair(tf.keras.layers.Layer):
    """Both towers of one model."""

    def __init__(self, query: QueryTower, candidate: CandidateTower, items: EmbeddingTable) -> None:
        """Takes the towers and the item embeddings that they share."""
        super().__init__()
        self.query, self.candidate, self.items = query, candidate, items


class TwoTowers(tf.keras.layers.Layer):
    """Scores a query and a candidate by the inner product of their towers' vectors.

    `query_tower` and `candidate_tower` map encoded features by name to `[batch, d] float32`; normalisation and the
    item bias are inside, so that an index needs nothing but their vectors. Of several models, an ensemble, the vectors
    stand side by side.
    """

    def __init__(
        self, pairs: Sequence[TowerPair], repeat_layer: RepeatBonusLayer | None, history: str, config: RetrievalConfig
    ) -> None:
        """Puts the towers together.

        Args:
            pairs: The models of the ensemble; one without an ensemble.
            repeat_layer: What items get that the history holds already; None if nothing.
            history: Name of the history's feature; empty where there is none.
            config: Of the model.
        """
        super().__init__()
        self.pairs, self.repeat_layer, self.config = list(pairs), repeat_layer, config
        self._history = history
        self.query_tower = _side_by_side([pair.query for pair in pairs], 1 / len(pairs))
        self.candidate_tower = _side_by_side([pair.candidate for pair in pairs], 1.0)

    def embed_candidates(self, candidates: EncodedCatalogue) -> tf.Tensor:
        """`[items, d] float32`: the catalogue, in its order; new items by their neighbours, if that is configured."""
        blocks = range(0, len(candidates), _ITEMS_A_BLOCK)
        rows = [tf.range(start, min(start + _ITEMS_A_BLOCK, len(candidates))) for start in blocks]
        vectors = [tf.concat([pair.candidate(candidates.gather(block)) for block in rows], 0) for pair in self.pairs]
        if self.config.new_item_neighbours:
            each = zip(self.pairs, vectors, strict=True)
            vectors = [pair.candidate.like_neighbours(own, candidates) for pair, own in each]
        return tf.concat(vectors, axis=1)

    def lift_new_items(self, score: float) -> None:
        """Sets what is added to the scores of new items, in units of the score; replaces the former value."""
        for pair in self.pairs:
            assert pair.candidate.lift is not None, "new_item_cost is 0"
            pair.candidate.lift.assign(score)

    def repeats(self, query: Tensors) -> RepeatBonus | None:
        """What the histories of queries as `gather_query` makes them add to the scores of their own items, if any."""
        return None if self.repeat_layer is None else self.repeats_in(self._history_of(query))

    def repeats_in(self, entries: EntriesOfHistories) -> RepeatBonus:
        """As `repeats`, of the histories alone."""
        assert self.repeat_layer is not None
        repeats: RepeatBonus = self.repeat_layer(entries)
        return repeats._replace(scores=self.config.repeat * self.config.loss.temperature * repeats.scores)

    def repeat_logits(self, query: Tensors) -> RepeatBonus | None:
        """As `repeats`, but as the training sees them: divided by the temperature, and not multiplied."""
        return None if self.repeat_layer is None else self.repeat_layer(self._history_of(query))

    def _history_of(self, query: Tensors) -> EntriesOfHistories:
        return EntriesOfHistories(query[HISTORY_ROWS], query[self._history] > 0, query.get(HISTORY_AGES))

    def frozen(self) -> "TwoTowers":
        """The same towers with what only training changes computed once."""
        pairs = [TowerPair(pair.query.frozen(), pair.candidate, pair.items) for pair in self.pairs]
        return TwoTowers(pairs, self.repeat_layer, self._history, self.config)


def make_two_towers(
    config: RetrievalConfig, encoder: SchemaEncoder, candidates: EncodedCatalogue, *, seed: int, step: tf.Variable
) -> TwoTowers:
    """Creates all towers and their weights.

    Args:
        config: Of the model.
        encoder: Of the features.
        candidates: The catalogue.
        seed: Of the initial weights.
        step: `[] int64`, of the training, for dropout.
    """
    common = _Common(config, encoder, candidates, make_semantic_codes(config, encoder))
    pairs = [
        _make_pair(common, each, seed + _SEEDS_A_MODEL * number, _dropouts(step, number))
        for number, each in enumerate((config.encoder, *config.ensemble))
    ]
    history = encoder.schema.history
    return TwoTowers(pairs, _repeat_layer(config, encoder.schema), "" if history is None else history.name, config)


def _dropouts(step: tf.Variable, number: int) -> DropoutSeries:
    return DropoutSeries(step=step, first=_SEEDS_A_MODEL * number)


class _Common(NamedTuple):
    """What the models of an ensemble share."""

    config: RetrievalConfig
    encoder: SchemaEncoder
    candidates: EncodedCatalogue
    codes: SemanticCodes | None
    """Of semantic ids; None where they are off."""


def _make_pair(common: _Common, encoder_config: EncoderConfig, seed: int, dropouts: DropoutSeries) -> TowerPair:
    """Creates one model of the ensemble: its tables, its history encoder and both towers."""
    config, encoder, candidates, codes = common
    schema = encoder.schema
    tables = _make_tables(config, encoder, candidates, seed)
    candidate = {feature.name: encoder.encoded(feature) for feature in _kept(config, schema.candidate)}
    derived = {} if codes is None else {SEMANTIC_IDS: SemanticIds(codes, config.dimension)}
    candidate_features = GatedFeatures(candidate, tables, config.dimension, derived=derived)
    history = None
    num_special = special_indices(encoder)
    if schema.history is not None:
        item_vectors = tables[schema.item_id]
        if encoder_config.side_features and len(candidate) > 1:
            own = num_special[schema.item_id]
            item_vectors = ItemVectors(candidate_features, candidates, item_id=schema.item_id, first_index=own)
        # Histories hold what users chose. Rare items that share a row are known by it, whichever of them was chosen.
        known = candidates.events_of_indices(schema.item_id, candidate[schema.item_id].num_indices) > 0
        companions = {each.name: tables[each.name] for each in _kept(config, schema.history_companions)}
        times = "" if schema.history_times is None else schema.history_times.name
        history = HistoryPart(
            name=schema.history.name,
            embedding=HistoryEmbedding(item_vectors, companions, times, known=known),
            encoder=make_encoder(encoder_config, config.dimension, length=schema.history.length, dropouts=dropouts),
        )
    # What belongs to the history's events enters by the history's embedding.
    query = {
        feature.name: encoder.encoded(feature)
        for feature in _kept(config, schema.embedded_query)
        if feature not in schema.history_companions
    }
    query_features = GatedFeatures(query, tables, config.dimension, history=None if history is None else history.name)
    return TowerPair(
        QueryTower(query_features, mixing_layers(config, len(query)), config, history),
        CandidateTower(
            candidate_features,
            mixing_layers(config, candidate_features.num_vectors),
            config,
            ids=ItemIds(schema.item_id, num_special[schema.item_id], num_special),
            first_bias=_first_bias(config, candidates, schema.item_id, candidate[schema.item_id].num_indices),
            step=dropouts.step,
        ),
        tables[schema.item_id],
    )


def _kept(config: RetrievalConfig, features: Sequence[FeatureT]) -> list[FeatureT]:
    """The features that the model learns from."""
    return [feature for feature in features if feature.name not in config.leave_out]


def _make_tables(
    config: RetrievalConfig, encoder: SchemaEncoder, candidates: EncodedCatalogue, seed: int
) -> dict[str, EmbeddingTable]:
    schema = encoder.schema
    kept = _kept(config, (*schema.embedded_query, *schema.candidate))
    features = {feature.name: encoder.encoded(feature) for feature in kept}
    # With a history, a user's own embedding starts as what it is there: a correction to the history's vector.
    random_tables = frozenset({schema.item_id} if schema.history is not None else {schema.item_id, schema.user_id})
    num_items = features[schema.item_id].num_indices
    of_tables = TablesOfModel(
        dimension=config.dimension,
        stddev=config.dimension**-0.5,
        seed=seed,
        kinds=config.embedding,
        counts={schema.item_id: candidates.events_of_indices(schema.item_id, num_items)},
        num_special=special_indices(encoder),
    )
    return make_tables(features, random_tables, of_tables)


def _first_bias(
    config: RetrievalConfig, candidates: EncodedCatalogue, item_id: str, num_indices: int
) -> npt.NDArray[np.float32]:
    """`[num_indices] float32`: what the item bias starts from."""
    start = np.zeros(num_indices, np.float32)
    log_frequency = np.log(np.maximum(candidates.train_frequency, 1)).astype(np.float32)
    # Items that share a bucket share a bias, that of the last of them; they have few interactions or none.
    scale = _BIAS_PER_LOG_FREQUENCY * config.loss.temperature
    start[candidates.features[item_id].numpy()] = scale * log_frequency
    return start


def _repeat_layer(config: RetrievalConfig, schema: Schema) -> RepeatBonusLayer | None:
    if not config.repeat:
        return None
    assert schema.history is not None, "require_history"
    return RepeatBonusLayer(schema.history.length, with_ages=schema.history_times is not None)


def _side_by_side(towers: list[Tower], weight: float) -> Tower | Ensemble:
    return towers[0] if len(towers) == 1 else Ensemble(towers, weight)
