"""The two-tower model over the full catalogue, beside baselines that were fitted and tuned on the same splits."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from features.disk.layout import DatasetLayout, Split
from features.errors import InputError
from features.schema import Schema
from trainer.baselines.contract import Baseline
from trainer.baselines.table import make_baseline
from trainer.baselines.tuning import tune
from trainer.config.baselines import BaselineName
from trainer.config.evaluation import EvaluationConfig
from trainer.data.encoded_dataset import EncodedDataset
from trainer.data.events import EncodedEvents
from trainer.data.raw_catalogue import read_raw_candidates
from trainer.evaluation.contexts import context_reader
from trainer.evaluation.new_items import new_item_curve
from trainer.evaluation.queries import (
    JudgedSplit,
    TrainingCounts,
    count_training,
    evaluation_set,
    training_interactions,
)
from trainer.evaluation.slicing import feature_slices
from trainer.metrics.protocol import Int, Interactions
from trainer.metrics.results import Evaluation, compare, evaluate_rankings
from trainer.metrics.slices import Slices, standard_slices
from trainer.metrics.top_k import rank_by_scorer
from trainer.restore import Trained
from trainer.retrieval.full_ranking import query_blocks, rank_by_model
from trainer.retrieval.two_towers import TwoTowers

MODEL = "two_tower"
# So many targets that no list can hold decide what is measured.
_MANY = 0.2


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """The split that is judged. What baselines need is read when it is first used."""

    counts: TrainingCounts
    """Of the training events."""
    judged: JudgedSplit
    """The configured split."""
    read_interactions: Callable[[], Interactions] = field(repr=False)
    """Reads all training events."""
    read_validation: Callable[[], JudgedSplit] = field(repr=False)
    """Reads the validation split."""

    @cached_property
    def interactions(self) -> Interactions:
        """The training events: all of them, in memory."""
        return self.read_interactions()

    @cached_property
    def validation(self) -> JudgedSplit:
        """The validation split."""
        return self.read_validation()


@dataclass(frozen=True, kw_only=True)
class JudgedModels:
    """A trained model and the baselines on the queries of one split."""

    data: EvaluationData
    """What they were judged on."""
    lists: Int
    """`[queries, largest cut-off] int64`: the model's lists of catalogue rows."""
    model: Evaluation
    """The trained model's."""
    baselines: tuple[Evaluation, ...]
    """In the order of the configuration."""
    tuned: Mapping[BaselineName, Mapping[str, Any]]
    """The parameters that each baseline was given, by its name."""


def evaluate_retrieval(
    trained: Trained[TwoTowers],
    dataset: DatasetLayout,
    config: EvaluationConfig,
    seed: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """What `judge_models` finds, as plain data; arguments and errors are those of it.

    Returns:
        `model` and `baselines`: each an `Evaluation` as plain data; `versus`: paired tests of the model against each
        baseline; `tuned`: the parameters that each baseline was given; `new_items`, what places for new items cost and
        bring.
    """
    judged = judge_models(trained, dataset, config, seed, progress)
    model, baselines = judged.model, judged.baselines
    lists, split = judged.lists[:, : min(config.cutoffs)], judged.data.judged
    return {
        "model": model.to_dict(),
        "baselines": {evaluation.model: evaluation.to_dict() for evaluation in baselines},
        "versus": {
            evaluation.model: {name: asdict(test) for name, test in compare(model, evaluation, model.metrics).items()}
            for evaluation in baselines
        },
        "tuned": dict(judged.tuned),
        "new_items": new_item_curve(trained, split, lists, config),
    }


def judge_models(
    trained: Trained[TwoTowers],
    dataset: DatasetLayout,
    config: EvaluationConfig,
    seed: int,
    progress: Callable[[str], None],
) -> JudgedModels:
    """Ranks the whole catalogue for each query of the split, by the model and by each baseline.

    Args:
        trained: the restored model.
        dataset: it was trained on.
        config: split, metrics and baselines.
        seed: Seed of the baselines that draw random numbers.
        progress: Called with one line about each measurement.

    Raises:
        InputError: the split holds no query.
        ConfigError: `evaluation.slice_by` names no feature that makes slices, or `evaluation.baselines.context` none
            that popularity can be counted by.
    """
    data = load_data(trained, dataset, config)
    judged = data.judged
    if config.exclude_seen and (share := judged.queries.share_of_seen_targets()) > _MANY:
        progress(
            f"{share:.0%} of what is to be found are items that the user had before, which evaluation.exclude_seen = "
            "true leaves out of every list; set it to false if they are to be recommended again"
        )
    slices = _slices(trained, dataset, data, config)
    lists = _rank_by_model(trained, judged, config)
    model = _judge(MODEL, lists, data, config, slices)
    progress(_line(model))
    baselines, tuned = [], {}
    for name in _fitting(config.baselines.names, judged, progress):
        baseline = tuned_baseline(name, trained, dataset, data, config, seed)
        ranked = rank_by_scorer(
            baseline.fit(data.interactions), judged.queries, max(config.cutoffs), exclude_seen=config.exclude_seen
        )
        baselines.append(_judge(name, ranked.item_rows, data, config, slices))
        tuned[name] = {field: value for field, value in asdict(baseline).items() if field != "item_texts"}
        progress(_line(baselines[-1]))
    return JudgedModels(data=data, lists=lists, model=model, baselines=tuple(baselines), tuned=tuned)


def judge_model(trained: Trained[TwoTowers], dataset: DatasetLayout, config: EvaluationConfig) -> Evaluation:
    """Ranks the whole catalogue that the model knows for each query of the split, with the values of each query.

    The dataset may be another one than the model was trained on: two models judged on one dataset answer the same
    queries in the same order, so that `compare` can pair them. Items that a model does not know are targets that it
    cannot find.

    Args:
        trained: the restored model.
        dataset: Dataset whose queries are asked.
        config: split and metrics.

    Raises:
        InputError: the split holds no query.
    """
    data = load_data(trained, dataset, config)
    judged = data.judged
    slices = standard_slices(judged.queries, data.counts.popularity)
    return _judge(MODEL, _rank_by_model(trained, judged, config), data, config, slices)


def best_items(
    trained: Trained[TwoTowers], dataset: DatasetLayout, config: EvaluationConfig, places: Int, length: int
) -> tuple[list[list[bytes]], list[list[bytes]]]:
    """The lists of some queries of the split, and what was to be found, by item id.

    Args:
        trained: the restored model.
        dataset: Dataset whose queries are asked; it may be another one than the model was trained on.
        config: split.
        places: `[n] int64`: of the queries among those of the split.
        length: of the lists.
    """
    judged = load_data(trained, dataset, config).judged
    blocks = query_blocks(judged.events, trained.encoder.schema, judged.asked_at[places])
    seen = judged.queries.seen.take(places) if config.exclude_seen else None
    ranked = rank_by_model(trained.model, trained.candidates, blocks, length, seen=seen).item_rows
    item_ids = trained.candidates.item_ids.numpy().tolist()
    wanted = (judged.queries.targets.take(places[[n]]).values for n in range(len(places)))
    lists, targets = ([[item_ids[row] for row in rows if row >= 0] for rows in each] for each in (ranked, wanted))
    return lists, targets


def load_data(trained: Trained[Any], dataset: DatasetLayout, config: EvaluationConfig) -> EvaluationData:
    """The split to judge as queries with targets, and what else is known of the dataset.

    The training events are read a few thousand users at a time.

    Raises:
        InputError: a split is missing or damaged, or the one to judge holds no query.
        ConfigError: `evaluation.baselines.context` names no feature that popularity can be counted by.
    """
    context = context_reader(trained.encoder, config.baselines.context)
    encoded = EncodedDataset(encoder=trained.encoder, candidates=trained.candidates)
    schema, num_items = trained.encoder.schema, len(trained.candidates)
    has_user = schema.user_id in {feature.name for feature in schema.query}
    first_user = trained.encoder.lookup(schema.user_id).vocabulary.first_token_index if has_user else 0

    def training() -> Iterator[EncodedEvents]:
        return encoded.blocks(dataset.interactions("train"), records="retrieval")

    counts = count_training(training(), schema, first_user, num_items)

    def read(name: Split) -> JudgedSplit:
        events = encoded.events(dataset.interactions(name), records="retrieval")
        only_next = config.targets == "next"
        queries, asked_at = evaluation_set(events, schema, counts.users, first_user, num_items, only_next=only_next)
        queries = replace(queries, context=None if context is None else context(events)[asked_at])
        return JudgedSplit(events=events, queries=queries, asked_at=asked_at)

    judged = read(config.split)
    if len(judged.queries) == 0:
        where = dataset.interactions(config.split)
        raise InputError(f"{where}: no event to predict, so there is nothing to measure; look at [pipeline.split]")
    return EvaluationData(
        counts=counts,
        judged=judged,
        read_interactions=lambda: training_interactions(training(), schema, first_user, num_items, context=context),
        read_validation=lambda: judged if config.split == "validation" else read("validation"),
    )


def _rank_by_model(trained: Trained[TwoTowers], split: JudgedSplit, config: EvaluationConfig) -> Int:
    blocks = query_blocks(split.events, trained.encoder.schema, split.asked_at)
    seen = split.queries.seen if config.exclude_seen else None
    return rank_by_model(trained.model, trained.candidates, blocks, max(config.cutoffs), seen=seen).item_rows


def _slices(
    trained: Trained[TwoTowers], dataset: DatasetLayout, data: EvaluationData, config: EvaluationConfig
) -> Slices:
    judged = data.judged
    standard = standard_slices(judged.queries, data.counts.popularity)
    named = feature_slices(config.slice_by, trained.encoder, dataset, judged.events, judged.asked_at)
    return Slices(queries={**standard.queries, **named.queries}, items={**standard.items, **named.items})


def _judge(name: str, ranked: Any, data: EvaluationData, config: EvaluationConfig, slices: Slices) -> Evaluation:
    queries, popularity = data.judged.queries, data.counts.popularity
    return evaluate_rankings(name, ranked, queries, popularity=popularity, config=config, slices=slices)


def _fitting(
    names: Iterable[BaselineName], judged: JudgedSplit, progress: Callable[[str], None]
) -> Iterator[BaselineName]:
    """The baselines for which the dataset has what they need."""
    for name in names:
        if name == "context_popularity" and judged.queries.context is None:
            progress(f"{name}: left out, no query feature has values that popularity could be counted by")
        else:
            yield name


def tuned_baseline(
    name: BaselineName,
    trained: Trained[TwoTowers],
    dataset: DatasetLayout,
    data: EvaluationData,
    config: EvaluationConfig,
    seed: int,
) -> Baseline:
    """Makes a baseline with the parameters that are best on validation, where that is configured.

    Args:
        name: Name of the baseline in `evaluation.baselines.names`.
        trained: the restored model, whose encoder and catalogue hold.
        dataset: it was trained on.
        data: Judged queries and training interactions of the dataset, from `load_data`.
        config: how baselines are tuned.
        seed: Seed of the baselines that draw random numbers.
    """
    texts = item_texts(trained.encoder.schema, dataset) if name == "content" else ()
    baseline = make_baseline(name, item_texts=texts, seed=seed)
    validation = data.validation.queries
    if not config.baselines.tune or len(validation) == 0:
        return baseline
    return tune(baseline, data.interactions, validation, exclude_seen=config.exclude_seen).baseline


def item_texts(schema: Schema, dataset: DatasetLayout) -> tuple[str, ...]:
    """Words and attribute values of each item, in the order of the catalogue."""
    raw = read_raw_candidates(schema, dataset)
    columns: list[list[str]] = []
    for feature in schema.candidate:
        if feature.has_words:
            values = raw[feature.name]
            columns.append([(b" ".join(value) if feature.is_list else value).decode() for value in values])
    return tuple(" ".join(parts) for parts in zip(*columns, strict=True)) or ("",) * len(raw[schema.item_id])


def _line(evaluation: Evaluation) -> str:
    shown = [
        f"{name} {value.value:.4f}" for name, value in evaluation.metrics.items() if name.startswith(("recall", "ndcg"))
    ]
    return f"{evaluation.model}: {', '.join(shown)}"
