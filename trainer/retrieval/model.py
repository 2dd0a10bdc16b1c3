"""The training of the two-tower retrieval model: what a step computes."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.encoding.schema_encoder import SchemaEncoder
from trainer.config.negatives import SampledConfig
from trainer.config.retrieval import RetrievalConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.retrieval.augmentation import HistoryAugmentation
from trainer.retrieval.losses.base import Comparison, Positives, make_loss
from trainer.retrieval.negatives.base import SampledNegatives, make_source
from trainer.retrieval.negatives.hard import HardNegatives
from trainer.retrieval.pairs import bonus_among, positives_among
from trainer.retrieval.repeat_bonus import RepeatBonus
from trainer.retrieval.similar_items import SimilarItems
from trainer.retrieval.two_towers import TowerPair, make_two_towers


class TwoTowerModel(tfrs.Model):
    """Two towers, the loss they are trained by and the negatives they are compared with.

    Of an ensemble, each model has its own embeddings and loss; all share batches and negatives.
    """

    def __init__(
        self,
        config: RetrievalConfig,
        encoder: SchemaEncoder,
        candidates: EncodedCatalogue,
        *,
        seed: int,
        similar_items: SimilarItems | None = None,
    ) -> None:
        """Creates every weight, under the strategy's scope if there is one.

        Args:
            config: Of the model.
            encoder: Of the features.
            candidates: The catalogue.
            seed: Of the initial weights.
            similar_items: What items of histories may be replaced by in training; a trained model needs none.
        """
        super().__init__()
        self.config = config
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.towers = make_two_towers(config, encoder, candidates, seed=seed, step=self.step)
        self._candidates = candidates
        self._source = make_source(config.negatives, candidates.train_frequency, seed)
        self._hard = _hard_negatives(config, len(candidates))
        self._loss = make_loss(config.loss, len(candidates))
        self._augmentation: HistoryAugmentation | None = None
        if config.augmentation.is_on:
            self._augmentation = HistoryAugmentation(
                config.augmentation, encoder.schema, step=self.step, similar_items=similar_items
            )

    def compute_loss(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """Weighted sum of the losses of the batch's positives.

        Args:
            inputs: `query`: encoded query features of Q queries; `positive_query [m] int32`, `positive_row [m] int32`
                and `weight [m] float32` of the positives. In place of the histories may come all of them at once, as
                `QueryTower.at_positions` takes them.
            training: whether dropout is on, and histories are changed as `retrieval.augmentation` says.

        Returns:
            `[] float32`.
        """
        positives = Positives(inputs["positive_query"], inputs["positive_row"])
        negatives = self._source.draw(positives.rows, self.step)
        seen = self._augmentation(inputs) if training and self._augmentation is not None else inputs
        queries = [self._embed_queries(pair, seen, training) for pair in self.towers.pairs]
        # The true histories say what the user took before.
        repeats = self.towers.repeat_logits(inputs["query"])
        if self._hard is not None:
            catalogue = partial(self.towers.embed_candidates, self._candidates)
            negatives = self._hard.add(negatives, tf.concat(queries, axis=1), self.step, catalogue)
        comparisons = [
            self._compare(pair, vectors, positives, negatives, repeats, training)
            for pair, vectors in zip(self.towers.pairs, queries, strict=True)
        ]
        losses = [self._loss(comparison) for comparison in comparisons]
        if self.config.content_weight:
            items = self._candidates.gather(positives.rows)
            of_content = [pair.candidate.content_loss(items) for pair in self.towers.pairs]
            losses = [loss + self.config.content_weight * own for loss, own in zip(losses, of_content, strict=True)]
        return tf.reduce_sum(inputs["weight"] * tf.add_n(losses)) / len(losses)

    def _embed_queries(self, pair: TowerPair, inputs: Mapping[str, Any], training: bool) -> tf.Tensor:
        """`[Q, d] float32`, divided by the temperature, so that an inner product with an item is a logit."""
        if "items" in inputs:
            vectors = pair.query.at_positions(inputs["query"], inputs, training=training)
        else:
            vectors = pair.query(inputs["query"], training=training)
        return vectors / self.config.loss.temperature

    def _compare(
        self,
        pair: TowerPair,
        queries: tf.Tensor,
        positives: Positives,
        negatives: SampledNegatives,
        repeats: RepeatBonus | None,
        training: bool,
    ) -> Comparison:
        """Embeds positives and negatives by one model of the ensemble, and finds what is special among their pairs."""
        positive_items = pair.candidate(self._candidates.gather(positives.rows), training=training)
        items = pair.candidate(self._candidates.gather(negatives.rows), training=training)
        positive_logits = tf.reduce_sum(tf.gather(queries, positives.query) * positive_items, axis=1)
        hits = positives_among(negatives.rows, *positives)
        if repeats is None:
            return Comparison(queries, positives, positive_logits, negatives, items, hits, None)
        positive_logits += repeats.of(*positives)
        bonus = bonus_among(negatives.rows, *repeats)
        return Comparison(queries, positives, positive_logits, negatives, items, hits, bonus)


def _hard_negatives(config: RetrievalConfig, num_items: int) -> HardNegatives | None:
    source = config.negatives
    if not isinstance(source, SampledConfig) or not source.hard_negatives:
        return None
    return HardNegatives(
        num_items,
        (config.dimension + config.item_bias) * (1 + len(config.ensemble)),
        a_query=source.hard_negatives,
        refresh_steps=source.index_steps,
    )
