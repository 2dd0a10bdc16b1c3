"""Gathers the evidence of the gate: the same queries to the staged models, the live ones and the trained ones."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from features.disk.layout import ModelName, Workdir
from recstack.config import StackConfig
from recstack.retraining.gate.data_facts import facts_of_dataset, facts_of_live, feature_drift, level_of_live
from recstack.retraining.gate.evidence import ComputedTwice, Evidence, Lists
from recstack.retraining.gate.latency import latencies
from recstack.retraining.samples import Items, SampleUser, sample_users, shown_model, shown_places
from trainer.evaluation.queries import JudgedSplit
from trainer.evaluation.ranking import predict_candidates
from trainer.evaluation.retrieval import EvaluationData, load_data
from trainer.evaluation.served import LIST_MODELS, RawQueries, ServedModel, raw_queries
from trainer.export.saving import directory_bytes
from trainer.metrics.intervals import user_groups
from trainer.metrics.protocol import UNKNOWN, Int
from trainer.metrics.slices import item_slices, query_slices
from trainer.ranking.model import RankingModel
from trainer.restore import Trained, restore
from trainer.retrieval.full_ranking import QueryBlock, embed_queries, query_blocks, rank_by_model
from trainer.retrieval.two_towers import TwoTowers
from trainer.stage import stages_of
from trainer.training.stage import StageContext

# Queries whose predictions by `ranking` are compared.
_RANKED_QUERIES = 200


@dataclass(frozen=True, kw_only=True)
class GateJob:
    """What is judged: staged models beside the live ones."""

    stack: StackConfig
    """The configuration of the retraining."""
    context: StageContext
    """Dataset and run that the staged models were made from."""
    staged: Workdir
    """Holds the staged models."""
    versions: Mapping[ModelName, int]
    """The staged version of each model."""
    live: Mapping[ModelName, int]
    """Version of each live model; a model that has none is missing."""
    progress: Callable[[str], None]
    """Told in one line what is being done."""

    def load_staged(self, model: ModelName) -> ServedModel:
        """Loads a staged model."""
        return ServedModel(model, self.staged.model(model).version(self.versions[model]))

    def load_live(self, model: ModelName) -> ServedModel:
        """Loads a live model."""
        return ServedModel(model, self.stack.layout.model(model).version(self.live[model]))


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """The queries that are asked, in one order throughout."""

    data: EvaluationData
    judged: JudgedSplit
    """Of `data`, the split that the queries are from."""
    places: Int
    """`[n] int64`: of the queries among those of the split."""
    raw: RawQueries
    """As clients would send them."""
    blocks: list[QueryBlock]
    """As training encodes them."""
    item_ids: list[bytes]
    """Of the catalogue, in the order of its rows."""

    @property
    def asked_at(self) -> Int:
        """`[n] int64`: the event that each query is asked at."""
        return self.judged.asked_at[self.places]


def gather(job: GateJob) -> Evidence:
    """Measures everything that the rules look at.

    Raises:
        InputError: dataset, run or a model is missing, or the split holds no query.
        RecstackError: the staged models cannot be served.
    """
    stack, dataset = job.stack, job.context.dataset
    trained: Trained[TwoTowers] = restore(job.context, stages_of(stack)["retrieval"])
    sample = _sample(job, trained)
    exact, queries = _exact(job, trained, sample), sample.judged.queries
    popularity = sample.data.counts.popularity
    new, live = _lists(job, sample, job.load_staged, job.versions), _lists(job, sample, job.load_live, job.live)
    return Evidence(
        targets=queries.targets.take(sample.places),
        groups=user_groups(queries.user_rows[sample.places]),
        query_slices={name: kept[sample.places] for name, kept in query_slices(queries).items()},
        item_slices=item_slices(popularity),
        popularity=popularity,
        new=new,
        live=live,
        users=_users(job, sample, new, live),
        exact=exact,
        computed_twice=_vectors(job, trained, sample) | _predictions(job, sample, exact),
        evaluation=json.loads(job.context.run.stage("retrieval").metrics.read_text("utf-8")),
        live_level=level_of_live(stack.layout, job.live),
        new_bytes={model: directory_bytes(job.staged.model(model).version(v)) for model, v in job.versions.items()},
        live_bytes={model: directory_bytes(stack.layout.model(model).version(v)) for model, v in job.live.items()},
        milliseconds=latencies(job.staged, job.versions, stack.gate.budgets, job.progress),
        data=facts_of_dataset(dataset, len(sample.item_ids)),
        live_data=facts_of_live(stack.layout, job.live),
        has_list_ranker=stack.list_ranking.enabled,
        drift=feature_drift(stack, job.live),
    )


def _sample(job: GateJob, trained: Trained[TwoTowers]) -> _Sample:
    """Draws the queries."""
    config, schema, dataset = job.stack.evaluation, job.context.schema, job.context.dataset
    data = load_data(trained, dataset, config)
    judged = data.judged
    drawn = np.random.default_rng(job.stack.seed).permutation(len(judged.queries))[: job.stack.gate.queries]
    places = np.sort(drawn).astype(np.int64)
    return _Sample(
        data=data,
        judged=judged,
        places=places,
        raw=raw_queries(schema, dataset, config.split).take(places),
        blocks=list(query_blocks(judged.events, schema, judged.asked_at[places])),
        item_ids=trained.candidates.item_ids.numpy().tolist(),
    )


def _exact(job: GateJob, trained: Trained[TwoTowers], sample: _Sample) -> Int:
    """`[n, k] int64`: the trained model's best rows of the whole catalogue."""
    seen = sample.judged.queries.seen.take(sample.places) if job.stack.evaluation.exclude_seen else None
    ranked = rank_by_model(trained.model, trained.candidates, sample.blocks, job.stack.gate.cutoff, seen=seen)
    return ranked.item_rows


def _lists(
    job: GateJob, sample: _Sample, load: Callable[[ModelName], ServedModel], versions: Mapping[ModelName, int]
) -> dict[ModelName, Lists]:
    """What each of the models answers that answer lists."""
    row_of = {item_id: row for row, item_id in enumerate(sample.item_ids)}
    found: dict[ModelName, Lists] = {}
    for model in (each for each in LIST_MODELS if each in versions):
        job.progress(f"asking {model} {versions[model]} for {len(sample.raw):,} queries")
        answers = load(model).top_k(sample.raw, job.stack.gate.cutoff, exclude_seen=job.stack.evaluation.exclude_seen)
        rows = [[row_of.get(item_id, UNKNOWN) for item_id in answer] for answer in answers.item_ids]
        found[model] = Lists(rows=np.array(rows, np.int64), scores=answers.scores)
    return found


def _users(
    job: GateJob, sample: _Sample, new: Mapping[ModelName, Lists], live: Mapping[ModelName, Lists]
) -> tuple[SampleUser, ...]:
    """A few queries with both models' lists, evenly from all."""
    if not new:
        return ()
    model, places = shown_model(new), shown_places(len(sample.raw))

    def items(rows: Int) -> Items:
        return tuple(sample.item_ids[row].decode() for row in rows if row != UNKNOWN)

    targets = sample.judged.queries.targets
    return sample_users(
        job.context.schema,
        sample.raw.take(places),
        wanted=[items(targets.take(sample.places[[place]]).values) for place in places],
        before=[items(live[model].rows[place]) if model in live else () for place in places],
        after=[items(new[model].rows[place]) for place in places],
    )


def _vectors(job: GateJob, trained: Trained[TwoTowers], sample: _Sample) -> dict[str, ComputedTwice]:
    """Query vectors of `retrieval`, or of `retrieval_exact` if only that is exported."""
    models: tuple[ModelName, ...] = ("retrieval", "retrieval_exact")
    model = next((each for each in models if each in job.versions), None)
    if model is None:
        return {}
    served = job.load_staged(model).embed(sample.raw)
    vectors, _ = embed_queries(trained.model, sample.blocks, len(sample.item_ids))
    return {f"query vectors of {model}": ComputedTwice(served=served, trained=vectors)}


def _predictions(job: GateJob, sample: _Sample, rows: Int) -> dict[str, ComputedTwice]:
    """Predictions of `ranking` for the items that retrieval finds, task by task."""
    if "ranking" not in job.versions:
        return {}
    trained: Trained[RankingModel] = restore(job.context, stages_of(job.stack)["ranking"])
    chosen = np.arange(min(len(sample.raw), _RANKED_QUERIES))
    rows = np.maximum(rows[chosen], 0)  # any item will do where a list is short
    item_ids = [[sample.item_ids[row] for row in row_list] for row_list in rows]
    served = job.load_staged("ranking").predict(sample.raw.take(chosen), item_ids)
    expected = predict_candidates(trained, sample.judged.events, sample.asked_at[chosen], rows)
    return {
        f"predictions of {task} by ranking": ComputedTwice(served=served[task], trained=values)
        for task, values in expected.items()
    }
