"""Which column, if any, says how much an event is worth: a rating, a kind of event, or whether somebody clicked."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from beam_pipelines.config import PipelineConfig
from beam_pipelines.profile.raw_table import ColumnProfile, TableProfile
from beam_pipelines.sources.ratings import not_rated, rating_levels
from recstack.init import names
from recstack.init.log import Log
from recstack.init.proposal import Setting

_TABLE = "pipeline.label"
_MOST_TYPES = 30
_LEAST_TYPES_BY_VALUES = 2
_MOST_RATINGS = 101
_MOST_LIKED = 0.6
_MOST_GRADES = 21
_BEST_GRADES = (4, 5, 6, 7, 10, 20)
_NO_YES = (
    *(("0", "1"), ("false", "true"), ("False", "True"), ("no", "yes"), ("No", "Yes"), ("N", "Y"), ("n", "y")),
    *(("f", "t"), ("F", "T"), ("FALSE", "TRUE"), ("NO", "YES")),
)
# Weight of an example by what its event is called; the first fitting word counts.
_WEIGHTS = {
    0.0: "impression impressions exposure display shown served remove removed return returned refund dislike skip "
    "hide angezeigt eingeblendet entfernt retoure zurückgegeben storniert storno mostrado eliminado devuelto "
    "devolución devolucion affiché supprimé retourné retour rimosso removido devolvido verwijderd geretourneerd "
    "показ удалено возврат 曝光 展示 退货 表示 返品 노출",
    5.0: "purchase purchased buy bought order ordered transaction checkout paid conversion booking subscribe kauf "
    "gekauft bestellung bestellt gebucht bezahlt compra comprado comprar pedido achat acheté achete commande "
    "acquisto acquistato ordine pago aankoop gekocht besteld zakup kupiono покупка купил купить заказ 购买 下单 支付 "
    "買 購入 注文 구매 주문 satın",
    3.0: "cart basket addtocart add wishlist favorite favourite fav save bookmark "
    "warenkorb merkzettel merkliste gemerkt favorit carrito carrinho panier carrello winkelwagen koszyk sepet корзина "
    "избранное 加购 加入购物车 购物车 收藏 カート お気に入り 장바구니 찜",
    2.0: "like share comment rate follow download geteilt teilen kommentar compartir partager condividi лайк "
    "点赞 分享 评论 いいね 좋아요",
    1.0: "view click pageview detail play open visit read watch listen pv angesehen gesehen ansicht aufruf "
    "aufgerufen klick geklickt angeklickt geöffnet gelesen visto vista clic consulté visualizzato "
    "visualizado bekeken просмотр клик 点击 浏览 查看 閲覧 クリック 조회 클릭",
}
_UNCLEAR, _SEVERAL = 1.0, 1.5


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Settings of `[pipeline.label]` and the columns they read."""

    settings: tuple[Setting, ...]
    """Empty where every event is worth the same."""
    columns: frozenset[str]
    """Columns of the interactions."""
    has_negatives: bool = False
    """Whether the log holds events that are no positive interactions, or ratings."""
    read: frozenset[str] = frozenset()
    """Those of the columns in which every row has to have a value."""
    positive_kinds: tuple[str, ...] = ()
    """Kinds of events that enter histories."""
    notices: tuple[str, ...] = ()
    """What a person should know about the values."""

    def unwanted(self, events: TableProfile, log: Log) -> npt.NDArray[np.bool_] | None:
        """`[n]` events of the log whose kind is none of the positive ones; `None` where labels are no kinds."""
        if not (self.has_negatives and self.positive_kinds):
            return None
        column = next(column for column in events.columns if column.name in self.columns)
        kinds = pc.cast(column.values, pa.string()).take(pa.array(log.rows))
        known = pc.is_in(kinds, pa.array(self.positive_kinds, pa.string()))
        return ~np.asarray(known.to_numpy(zero_copy_only=False), bool)


def find_labels(events: TableProfile, taken: frozenset[str], log: Log) -> Labels:
    """Finds a kind of event, a click or a rating, in this order: ratings by their names, then by their values.

    Args:
        events: the interactions.
        taken: columns that have a role.
        log: the events.
    """
    free = [column for column in events.columns if column.name not in taken]
    for find in (_event_types, _clicks, partial(_ratings, log=log), partial(_grades, log=log)):
        for column in free:
            found = find(column)
            if found is not None:
                return found
    return Labels(settings=(), columns=frozenset())


def _event_types(column: ColumnProfile) -> Labels | None:
    if column.kind != "text" or not 2 <= column.distinct <= _MOST_TYPES:
        return None
    named = set(names.words(column.name))
    kinds = column.values.drop_null().value_counts().sort("descending", by="counts")
    weights = {str(kind): _weight(str(kind)) for kind in kinds.field("values").to_pylist()}
    unclear = [kind for kind, weight in weights.items() if weight is None]
    by_name = named & names.EVENT_TYPE and (len(unclear) < len(weights) or {"event", "action", "behavior"} & named)
    # In a column that is called something else, or in another language, most values have to be kinds of events.
    if not by_name and len(weights) < max(_LEAST_TYPES_BY_VALUES, 2 * len(unclear) + 1):
        return None
    known = {kind: _UNCLEAR if weight is None else weight for kind, weight in weights.items()}
    why = "how much each kind of event counts; 0: shown or taken back, no positive interaction"
    why += f"; not understood, so 1: {', '.join(unclear)}" if unclear else ""
    return _typed(column, known, f"{column.distinct} kinds of events", why)


def _weight(kind: str) -> float | None:
    found = set(names.words(kind)) | {"".join(names.words(kind))}
    for weight, meant in _WEIGHTS.items():
        if found & set(meant.split()) or any(word.rstrip("s") in meant.split() for word in found):
            return weight
    return None


def _clicks(column: ColumnProfile) -> Labels | None:
    if not set(names.words(column.name)) & names.CLICK or column.distinct != 2:
        return None
    values = set(pc.cast(column.values, pa.string()).drop_null().unique().to_pylist())
    for no, yes in _NO_YES:
        if values == {no, yes}:
            share = float(pc.mean(pc.equal(pc.cast(column.values, pa.string()), yes)).as_py())
            why = f"{share:.1%} of the events are {yes}; the others are what was shown in vain"
            return _typed(column, {no: 0.0, yes: 1.0}, "says whether the event was a success", why)
    return None


def _typed(column: ColumnProfile, weights: dict[str, float], what: str, why: str) -> Labels:
    settings = (
        Setting(table=_TABLE, name="event_type_column", value=column.name, why=what),
        Setting(table=_TABLE, name="event_weights", value=weights, why=why),
    )
    return Labels(
        settings=settings,
        columns=frozenset({column.name}),
        read=frozenset({column.name}),
        has_negatives=0.0 in weights.values(),
        positive_kinds=tuple(kind for kind, weight in weights.items() if weight > 0),
    )


def _ratings(column: ColumnProfile, log: Log) -> Labels | None:
    named = set(names.words(column.name)) & names.RATING
    if column.kind not in ("integer", "number") or not named or column.distinct < 2:
        return None
    if column.distinct > _MOST_RATINGS and not named & {"rating", "ratings"}:
        # A score of any fineness may be how well something fitted, not what a user thought of it.
        return None
    if len(log) > _SEVERAL * log.num_items and not _differs_within(column, log.items, log.rows):
        # What all users of an item have in common is its average.
        return None
    return _rated(column, "named so")


def _grades(column: ColumnProfile, log: Log) -> Labels | None:
    """Ratings under any name: a scale such as 1 to 5, all steps of it used, that differs within users and items."""
    named = set(names.words(column.name))
    if column.kind not in ("integer", "number") or named & (names.NO_GRADE | names.CONTEXT | names.CODED):
        return None
    if not 4 <= column.distinct <= _MOST_GRADES:
        return None
    counts = rating_levels(_numbers(column))
    lone = not_rated(counts)
    levels = np.array(sorted(float(level) for level in counts if float(level) != lone))
    steps = np.diff(levels)
    is_scale = len(levels) >= 4 and np.allclose(steps, steps[0]) and steps[0] in (0.5, 1.0)
    if not is_scale or levels[0] not in (0, 0.5, 1) or levels[-1] not in _BEST_GRADES:
        return None
    if not all(_differs_within(column, owners, log.rows) for owners in (log.users, log.items)):
        return None
    return _rated(column, "no name tells, but the values are a scale of grades: check it")


def _differs_within(column: ColumnProfile, owners: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> bool:
    codes = column.values.take(pa.array(rows)).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    pairs = np.unique(owners * (int(codes.max()) + 3) + codes)
    return len(pairs) > 1.1 * len(np.unique(owners))


def _numbers(column: ColumnProfile) -> npt.NDArray[np.float64]:
    return np.asarray(pc.cast(column.values.drop_null(), pa.float64()).to_numpy(zero_copy_only=False))


def _rated(column: ColumnProfile, why: str) -> Labels:
    values = _numbers(column)
    counts = rating_levels(values, most=len(values))
    lone = not_rated(counts)
    levels, of_levels = np.unique(values if lone is None else values[values != lone], return_counts=True)
    at_least = np.cumsum(of_levels[::-1])[::-1] / of_levels.sum()
    # The lowest rating that a little more than half of the events reach at most; the best one where all are alike.
    place = int(np.argmax(at_least <= _MOST_LIKED)) if (at_least <= _MOST_LIKED).any() else len(levels) - 1
    threshold, liked = float(levels[place]), float(at_least[place])
    what = f"{why}; {len(levels)} different values from {levels[0]:g} to {levels[-1]:g}"
    notices: tuple[str, ...] = ()
    if lone is not None:
        said = f"{counts[f'{lone:g}']:,} are {lone:g}, which lies outside the scale and may mean 'not rated'"
        what += f"; {said}"
        notices = (
            f"{column.name}: {said}; as it stands it is a rating like any other: remove these events from the log, or "
            "all ratings if they are few",
        )
    is_used = column.missing <= PipelineConfig().max_reject_ratio
    if not is_used:
        text = f"{column.missing:.0%} of the events have none, and rows without a rating are refused"
        what += f"; not used: {text}"
        notices += (f"{column.name}: {text}: every event counts, and the ratings are not used",)
    settings = (
        Setting(table=_TABLE, name="rating_column", value=column.name, why=what, active=is_used),
        Setting(
            table=_TABLE,
            name="threshold",
            value=threshold,
            why=f"{liked:.0%} of the ratings reach it: liked",
            active=is_used,
        ),
        Setting(
            table=_TABLE,
            name="min_positive_rating",
            value=threshold,
            why="retrieval learns from every rated event; with this, only from those that were liked",
            active=False,
        ),
    )
    columns = frozenset({column.name})
    return Labels(
        settings=settings,
        columns=columns,
        read=columns if is_used else frozenset(),
        has_negatives=is_used,
        notices=notices,
    )
