"""The ranking model: one or several models of a pair and a head for each task."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from features.encoding.encoder import Encoded, Tensors
from features.encoding.schema_encoder import ITEM_EVENTS_ENCODED, SchemaEncoder
from features.records.contents import ITEM_EVENTS
from trainer.config.export import Precision
from trainer.config.ranking import RankingConfig
from trainer.data.catalogue import EncodedCatalogue
from trainer.data.labelled_pairs import LabelMoments
from trainer.layers.dropout import DropoutSeries
from trainer.layers.embedding import special_indices
from trainer.layers.tables.contract import EmbeddingTable
from trainer.ranking.heads import HEADS
from trainer.ranking.heads.contract import Head
from trainer.ranking.member import Member, PairFeatures

# A number that is not encoded: it comes as it is, `[pairs, 1]`.
_NUMBER = Encoded(form="dense", width=1, num_indices=0, table="")
_SEEDS_A_MEMBER = 100


class RankingModel(tfrs.Model):
    """Scores of pairs of a query and a candidate, one a task.

    The mean of the members' scores, each with embeddings of its own. They see the same batches and are trained each by
    its own loss, so that their errors differ and the mean has less of them.
    """

    def __init__(
        self,
        config: RankingConfig,
        encoder: SchemaEncoder,
        candidates: EncodedCatalogue,
        *,
        seed: int,
        label_moments: Sequence[LabelMoments] = (),
        extra: Sequence[str] = (),
    ) -> None:
        """Creates every weight, under the strategy's scope if there is one.

        Args:
            config: Configuration of the model.
            encoder: Encoder of the dataset.
            candidates: the catalogue, which the batches' rows refer to.
            seed: Seed of the initial weights.
            label_moments: Mean and deviation of each task's labels in training, which the model starts from; empty
                where weights are restored.
            extra: names of the numbers that come with each pair, see `trainer.data.labelled_pairs`.
        """
        super().__init__()
        self.config = config
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self._candidates = candidates
        tasks = encoder.schema.task
        moments = dict(zip(tasks, label_moments or [LabelMoments()] * len(tasks), strict=True))
        self.heads: list[Head] = [HEADS[t.type](t, config.training_of(t.name), moments[t]) for t in tasks]
        first_scores = {t.name: head.first_score(moments[t]) for t, head in zip(tasks, self.heads, strict=True)}
        self.members = [
            Member(
                config,
                _features(encoder, candidates, extra),
                first_scores,
                seed=seed + _SEEDS_A_MEMBER * number,
                dropouts=DropoutSeries(step=self.step, first=_SEEDS_A_MEMBER * number),
            )
            for number in range(config.members)
        ]
        self._build(encoder, extra)

    def call(
        self, query: Tensors, candidate: Tensors, query_of_pair: tf.Tensor | None = None, training: bool = False
    ) -> Tensors:
        """The scores of pairs by task; a head turns them into predictions.

        Args:
            query: encoded query features, `[queries, ...]` by name.
            candidate: encoded features of the candidates and of the pairs, `[pairs, ...]` by name.
            query_of_pair: `[pairs] int32`, the query of each candidate, so that what several candidates share is
                embedded once; None: the queries are those of the pairs, one by one.
            training: whether dropout is on.

        Returns:
            `[pairs] float32` by task.
        """
        scores = [member(query, candidate, query_of_pair, training=training)[0] for member in self.members]
        return {head.task_name: _mean([each[head.task_name] for each in scores]) for head in self.heads}

    def store_in(self, precision: Precision) -> None:
        """Rounds the trained embeddings to fewer bytes for a SavedModel; the model can be trained no more."""
        for module in self.submodules:
            if isinstance(module, EmbeddingTable):
                module.store_in(precision)

    def predictions(self, scores: Tensors) -> Tensors:
        """Scores to what is predicted, in the unit of the labels: chances of binary tasks, values of regressions."""
        return {head.task_name: head.prediction(head.calibrated(scores[head.task_name])) for head in self.heads}

    def compute_loss(self, inputs: Mapping[str, Any], training: bool = False) -> tf.Tensor:
        """Weighted sum of the tasks' losses and of the penalty on the embeddings, the mean of the members'.

        Args:
            inputs: a batch of `trainer.data.labelled_pairs.pair_examples`.
            training: whether dropout is on.

        Returns:
            `[] float32`.
        """
        candidate = {**self._candidates.gather(inputs["candidate_row"]), **inputs["pair"]}
        return _mean([self._loss_of(member, inputs, candidate, training) for member in self.members])

    def _loss_of(self, member: Member, inputs: Mapping[str, Any], candidate: Tensors, training: bool) -> tf.Tensor:
        scores, vectors = member(inputs["query"], candidate, training=training)
        labels, weights = inputs["labels"], inputs["weight"]
        losses = [head.loss(labels[:, place], scores[head.task_name], weights) for place, head in enumerate(self.heads)]
        return tf.add_n(losses) + self.config.embedding_decay * tf.nn.l2_loss(vectors)

    def _build(self, encoder: SchemaEncoder, extra: Sequence[str]) -> None:
        """Makes the dense layers' weights by one call on an empty batch."""
        shapes = {**encoder.query_signature(), **encoder.candidate_signature()}
        raw = {name: tf.zeros([size or 0 for size in spec.shape], spec.dtype) for name, spec in shapes.items()}
        numbers = {name: tf.zeros([0, 1]) for name in extra}
        self(encoder.encode_query(raw), {**encoder.encode_candidate(raw), **numbers})


def _mean(values: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.add_n(values) / len(values)


def _features(encoder: SchemaEncoder, candidates: EncodedCatalogue, extra: Sequence[str]) -> PairFeatures:
    schema = encoder.schema
    features = {f.name: encoder.encoded(f) for f in (*schema.embedded_query, *schema.candidate)}
    if schema.item_events:
        features[ITEM_EVENTS] = ITEM_EVENTS_ENCODED
    return PairFeatures(
        encoded=features | dict.fromkeys(extra, _NUMBER),
        query_names=frozenset(feature.name for feature in schema.query),
        item_id=schema.item_id,
        history=None if schema.history is None else schema.history.name,
        item_counts=candidates.events_of_indices(schema.item_id, features[schema.item_id].num_indices),
        num_special=special_indices(encoder),
    )
