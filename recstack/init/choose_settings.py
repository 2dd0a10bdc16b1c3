"""Split, cleaning and sizes of the models, from what the log looks like."""

from collections.abc import Iterator

import numpy as np

from recstack.init.choose_cascade import folds_of
from recstack.init.log import TAKEN_AGAIN, Log
from recstack.init.proposal import Setting
from recstack.init.training_time import BUDGET_SECONDS, COMPARED_ITEMS, EncoderSize, Work

# Fewer moments than this are no time: a given split, or days at most.
_FEW_MOMENTS = 20
# A cut in time needs users that were there before it.
_LEAST_KNOWN_USERS, _LEAST_KNOWN_SHARE = 100, 0.3
_LONG_HISTORY = 20
_ORDER_TELLS, _BASKETS = 1.3, 0.25
# From this size on, one example a basket instead of one an event saves most of the training's time.
_LARGE_BASKET = 5.0
_FEW_ITEMS, _SMALL_CATALOGUE, _MOST_SVD = 500, 1_000, 300_000
# Operations of the softmax over the whole catalogue in an epoch, beyond which negatives are drawn.
_EPOCH_PRODUCTS = 6e12
# Logits of a step, half a gigabyte with their exponentials.
_STEP_LOGITS = 6e7
_REPETITION_SECONDS = 5
# From such a size on, two layers of 128 pay: on a log of a million events by 6,000 users they raised recall@10 on
# validation from .298 to .315, and without an embedding of the user to .354 after 14 epochs.
_DENSE_EVENTS, _DENSE_HISTORY = 300_000, 50
_DENSE_LAYERS, _DENSE_DIMENSION, _DENSE_EPOCHS = 2, 128, 14
# On 52,551 events by 1,090 users, 48 each, NDCG@20 on validation was .070 with 64 components and a dropout of .5, .077
# with 128, .083 with a dropout of .3, and .089 with a second encoder.
_LONG_EVENTS, _LONG_MEAN_HISTORY, _LONG_DIMENSION = 30_000, 20, 128
# Passes times baskets: on Online Retail two passes over 36,000 baskets are as good on validation as more of them
# (docs/tuning.md), in a fraction of the time.
_ENOUGH_BASKETS = 75_000
_ENCODERS = 2


def choose_split(log: Log, given: str = "") -> Iterator[Setting]:
    """`[pipeline.split]`, of the kind that is given, if there is one."""
    kind, why = (given, "you asked for it") if given else _split_kind(log)
    yield Setting(table="pipeline.split", name="kind", value=kind, why=why)
    if kind == "global_time" and 1 < log.num_moments <= _FEW_MOMENTS:
        validation = log.share_of_moment(2) if log.num_moments > 2 else 0.0
        shares = {"validation": (validation, "the one before"), "test": (log.share_of_moment(1), "the last moment")}
        for name, (share, place) in shares.items():
            yield Setting(table="pipeline.split", name=name, value=round(share, 4), why=f"events at {place}")
    elif kind != "leave_last_out":
        for name in ("validation", "test"):
            yield Setting(table="pipeline.split", name=name, value=0.1, why="share of the events")


def _split_kind(log: Log) -> tuple[str, str]:
    """`pipeline.split.kind` and the reason."""
    moments = log.num_moments
    if moments == 1:
        return "leave_last_out", "all events are of one moment, so there is no time to split by"
    if moments <= _FEW_MOMENTS and not log.is_order:
        return "global_time", f"all events lie at {moments} moments, so the latest ones are held out whole"
    known, share = log.known_test_users()
    if not log.is_order and log.events_a_user(1.0) == 1:
        return "global_time", "every user has one event, so that only a split by time leaves any to test with"
    if not log.is_order and known >= min(_LEAST_KNOWN_USERS, log.num_users // 10) and share >= _LEAST_KNOWN_SHARE:
        why = f"as in production: {known:,} users of the latest tenth ({share:.0%}) were there before"
        return "global_time", why
    if log.events_a_user(0.5) >= _LONG_HISTORY and (not log.is_order or moments <= _FEW_MOMENTS):
        why = _no_time(log, known, share) + "; users have enough events to hold out the latest share of each"
        return "per_user_fraction", why
    few = "; users have few events" if log.events_a_user(0.5) < _LONG_HISTORY else ""
    return "leave_last_out", f"{_no_time(log, known, share)}{few}: each user's last event is held out"


def _no_time(log: Log, known: int, share: float) -> str:
    if log.is_order:
        return "the times are only an order"
    return f"a cut in time would leave {known:,} test users ({share:.0%}) that were there before"


def choose_cleaning(log: Log) -> Iterator[Setting]:
    """`[pipeline.cleaning]`: nothing is left out unasked, but what stands out is said."""
    if log.is_order:
        return
    repeated = _repetitions(log)
    if repeated > 0.001:
        why = f"{repeated:.1%} of the events repeat one of the same user and item within {_REPETITION_SECONDS} seconds"
        yield Setting(
            table="pipeline.cleaning", name="duplicate_seconds", value=_REPETITION_SECONDS, why=why, active=False
        )
    days = log.users * 100_000 + log.seconds // 86_400
    counts = np.unique(days, return_counts=True)[1]
    usual, most = float(np.quantile(counts, 0.999)), int(counts.max())
    if most > max(1000, 5 * usual):
        why = f"one user has {most:,} events on a day, 99.9 % of the days have at most {usual:,.0f}: perhaps a bot"
        value = int(2 * usual)
        yield Setting(table="pipeline.cleaning", name="max_events_per_day", value=value, why=why, active=False)


def _repetitions(log: Log) -> float:
    order = np.lexsort([log.seconds, log.items, log.users])
    same = (np.diff(log.users[order]) == 0) & (np.diff(log.items[order]) == 0)
    # Equal in every column is left out anyway; those at the same second may differ elsewhere and count.
    return float((same & (np.diff(log.seconds[order]) <= _REPETITION_SECONDS)).sum() / len(log))


def examples_of(log: Log, split: str) -> tuple[str, str]:
    """`retrieval.examples` and the reason, for a split of this kind."""
    if log.num_moments <= _FEW_MOMENTS:
        return "set", "the times order little, so each user's items are taken as a set"
    lift, together = log.order_lift(), log.shared_moments
    are_baskets = not log.are_sittings
    if log.events_a_moment >= _LARGE_BASKET and are_baskets:
        return "basket", f"the events come in baskets of {log.events_a_moment:.0f} on average"
    if together > _BASKETS and are_baskets:
        size = f"baskets of {log.events_a_moment:.1f} on average, too small for an example each"
        return "event", f"{together:.0%} of the events come together with others at the same moment: {size}"
    if log.are_sittings and split == "per_user_fraction":
        return "event", "events come in sittings, and whole sittings are held out, so the very next event counts little"
    if lift < _ORDER_TELLS:
        return "event", f"neighbouring events repeat {lift:.1f} times as often as distant ones: the order tells little"
    return "sequence", f"neighbouring events repeat {lift:.1f} times as often as distant ones: the order tells"


def history_length(log: Log, examples: str) -> int:
    """Items that a history keeps: what nine users of ten need, in steps of ten, within what pays."""
    most = 1000 if examples == "set" else 200
    return int(np.clip(-(-log.events_a_user(0.9) // 10) * 10, 20, most))


def choose_models(log: Log, examples: str, why: str, *, labelled: int, speed: float) -> Iterator[Setting]:
    """`[retrieval]`, `[ranking]` and what a small catalogue needs of the rest.

    Args:
        log: The events that were taken.
        examples: Kind of the training's examples.
        why: The reason for it.
        labelled: Examples of the ranking model.
        speed: Operations of a training that this machine does in a second.
    """
    items, events = log.num_items, log.total
    size = _size(log, examples)
    work = Work(events=events, length=history_length(log, "sequence"), items=items, speed=speed)
    size = work.affordable(size) if examples == "sequence" else size
    dimension = size.dimension
    why_wide = f"width of the vectors, for {events:,} events, {items:,} items"
    yield Setting(table="retrieval", name="dimension", value=dimension, why=why_wide)
    yield Setting(table="retrieval", name="examples", value=examples, why=why)
    if examples == "sequence":
        yield Setting(table="retrieval", name="score", value="dot", why="with the encoder that knows the order")
    if 100 <= items <= _MOST_SVD:
        why = "a few seconds that help most where epochs are few"
        yield Setting(table="retrieval", name="initialisation", value="svd", why=why)
    positives = _positives(log, examples)
    batch = (
        256
        if positives < 20_000 or (examples == "basket" and positives < 500_000)
        else 4096
        if positives >= 5_000_000
        else 1024
    )
    yield Setting(table="retrieval", name="batch_size", value=batch, why=f"for {positives:,.0f} examples an epoch")
    why = "at most; it ends when validation gets no better"
    why += f"; {work.words(size)} on this machine for each encoder" if examples == "sequence" else ""
    yield Setting(table="retrieval", name="epochs", value=size.epochs, why=why)
    has_validation = log.num_moments > 2 or log.num_moments == 1
    patience, why = (
        (max(2, size.epochs // 4), "epochs without gain") if has_validation else (0, "there is no validation")
    )
    yield Setting(table="retrieval", name="patience", value=patience, why=why)
    if examples == "sequence":
        # A second encoder takes as long as the first, and the list ranker's folds as long as retrieval.
        seconds = _ENCODERS * (1 + folds_of(log)) * work.seconds(size)
        yield from _transformer(log, size, is_cheap=seconds <= BUDGET_SECONDS)
    if examples in ("event", "basket"):
        why = "learns what each place from the end of the history weighs"
        yield Setting(table="retrieval.encoder", name="kind", value="recency", why=why)
    yield from _taken_again(log, examples)
    yield from _negatives(items, positives, batch=batch, dimension=dimension)
    yield from _ranking(labelled)
    if items < _SMALL_CATALOGUE:
        yield from _small_catalogue(items)


def _negatives(items: int, positives: float, *, batch: int, dimension: int) -> Iterator[Setting]:
    """The whole catalogue unless that is dear."""
    # Forward and backward, an item has three products with each query.
    is_dear = 6 * positives * items * dimension > _EPOCH_PRODUCTS or batch * items > _STEP_LOGITS
    if items > COMPARED_ITEMS and is_dear:
        table, why = "retrieval.negatives", f"{items:,} items are too many to compare each of {positives:,.0f} examples"
        yield Setting(table=table, name="kind", value="uniform", why=f"{why} with all")
        yield Setting(table=table, name="num_negatives", value=2048, why="drawn a step, shared by the batch")


def _size(log: Log, examples: str) -> EncoderSize:
    """Width and passes that logs of this size need, and layers where there is a transformer."""
    epochs = _epochs(log, examples)
    if examples == "sequence" and is_dense_log(log):
        return EncoderSize(layers=_DENSE_LAYERS, dimension=_DENSE_DIMENSION, epochs=min(epochs + 2, _DENSE_EPOCHS))
    is_long = log.total >= _LONG_EVENTS and _mean_history(log) >= _LONG_MEAN_HISTORY
    is_wide = examples == "sequence" and is_long and log.num_items >= _FEW_ITEMS
    return EncoderSize(layers=1, dimension=_LONG_DIMENSION if is_wide else _dimension(log), epochs=epochs)


def _epochs(log: Log, examples: str) -> int:
    """Passes at most, fewer where there is more to learn from."""
    if examples == "basket":
        return int(np.clip(_ENOUGH_BASKETS / _positives(log, examples), 2, 12))
    if examples == "set":
        return int(np.clip(12_000_000 / max(_positives(log, examples), 1), 3, 20))
    return int(np.clip(12_000_000 / log.total, 3, 12))


def _mean_history(log: Log) -> float:
    """Events of a user on average."""
    return len(log) / log.num_users


def _dropout(log: Log) -> float:
    """Less where there is more to learn from."""
    if log.total >= 1_000_000:
        return 0.2
    return 0.3 if _mean_history(log) >= _LONG_MEAN_HISTORY else 0.5


def _positives(log: Log, examples: str) -> float:
    """Examples of an epoch."""
    if examples == "set":
        return log.num_users / log.share
    return log.total / log.events_a_moment if examples == "basket" else log.total


def _transformer(log: Log, size: EncoderSize, *, is_cheap: bool) -> Iterator[Setting]:
    """The encoder of sequences, and what goes with it."""
    yield Setting(
        table="retrieval.encoder", name="kind", value="transformer", why="the most accurate where the order tells"
    )
    if size.layers > 1:
        why = f"half of the users have {log.events_a_user(0.5):,.0f} events or more, enough for a deeper encoder"
        yield Setting(table="retrieval.encoder", name="layers", value=size.layers, why=why)
        yield Setting(table="retrieval.encoder", name="heads", value=2, why="of 64 components each")
    dropout = _dropout(log)
    why = f"for {log.total:,} events, {_mean_history(log):,.0f} a user"
    yield Setting(table="retrieval.encoder", name="dropout", value=dropout, why=why)
    active = is_cheap and log.total >= _LONG_EVENTS
    why = "a second encoder beside the first: 3 and 7 % more NDCG on two logs, for twice the time and longer vectors"
    yield Setting(
        table="retrieval", name="ensemble", value=[{"kind": "gru", "dropout": dropout}], why=why, active=active
    )
    yield Setting(table="retrieval.loss", name="temperature", value=1.0, why="for the score dot")
    yield Setting(table="retrieval.optimizer", name="learning_rate", value=0.002, why="for the transformer")


def is_dense_log(log: Log) -> bool:
    """Whether users have so many events that a deeper and wider encoder has enough to learn from."""
    return log.total >= _DENSE_EVENTS and log.events_a_user(0.5) >= _DENSE_HISTORY


def _dimension(log: Log) -> int:
    if log.total < 30_000 or log.num_items < _FEW_ITEMS:
        return 32
    return 128 if log.total >= 150_000 and log.num_items >= 10_000 else 64


def _taken_again(log: Log, examples: str) -> Iterator[Setting]:
    if log.taken_again < TAKEN_AGAIN:
        return
    active = log.recommends_again(examples)
    why = f"{log.taken_again:.0%} of the events are of items that the user had taken before"
    yield Setting(table="evaluation", name="exclude_seen", value=False, why=why, active=active)
    if examples in ("event", "basket"):
        why = "what was taken before counts by itself, beside the vectors"
        repeat = 2.0 if examples == "basket" else 1.0
        yield Setting(table="retrieval", name="repeat", value=repeat, why=why, active=active)


def _ranking(examples: int) -> Iterator[Setting]:
    epochs = int(np.clip(8_000_000 / max(examples, 1), 2, 20))
    yield Setting(table="ranking", name="epochs", value=epochs, why=f"at most, over about {examples:,} examples")
    batch = 256 if examples < 20_000 else 1024 if examples < 5_000_000 else 4096
    yield Setting(table="ranking", name="batch_size", value=batch, why="examples a step")


def _small_catalogue(items: int) -> Iterator[Setting]:
    short, long = max(1, min(10, items // 10)), max(2, min(100, items // 2))
    why = f"lists that make sense among {items:,} items"
    yield Setting(table="evaluation", name="cutoffs", value=[short, long], why=why)
    yield Setting(table="index", name="tuned_k", value=long, why=why)
    yield Setting(table="export", name="retrieval_k", value=long, why=why)
    yield Setting(table="export", name="recommender_candidates", value=long, why=why)
    yield Setting(table="export", name="recommender_limit", value=short, why=why)
