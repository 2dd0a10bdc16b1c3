"""What the names of columns tell of their meaning."""

import re
import unicodedata
from collections.abc import Iterable

from anyascii import anyascii


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


USER = _set(
    "user users customer customers client member visitor account buyer reader viewer listener subscriber player "
    "person patient student reviewer household shopper guest profile uid cust consumer username nickname login email "
    "usuario utilisateur benutzer nutzer kunde kunden cliente clientes utente gebruiker klant klient użytkownik "
    "kullanıcı müşteri пользователь пользователя клиент клиента покупатель покупателя 用户 会员 顾客 买家 會員 "
    "ユーザー ユーザ 顧客 会員 사용자 고객 회원"
)
ITEM = _set(
    "item items product products sku article movie film book track song artist asin isbn content offer listing video "
    "business venue place location poi ad news goods stock stockcode material recipe game anime document page url "
    "show episode course job hotel restaurant post channel app iid pid artikel produkt producto produit articulo "
    "artículo articolo artigo prodotto produto produkty towar ürün товар товара продукт фильм книга 商品 物品 产品 "
    "货品 电影 製品 アイテム 상품"
)
TITLE = _set(
    "title titles name titel titre titulo título titolo nom nombre naam 标题 名称 题名 題名 タイトル 제목 название"
)
TIME = _set(
    "timestamp time datetime date day ts created at when dt eventtime unixtime utc occurred "
    "zeit zeitpunkt datum uhrzeit zeitstempel fecha hora momento heure data ora tijd czas zaman tarih время дата "
    "时间 日期 时间戳 時間 日時 日付 시간 날짜"
)
LATER_TIME = _set(
    "updated modified changed expires birth birthday delivered shipped end ended release geburts liefer lieferungs "
    "ende enddatum nacimiento naissance nascimento entrega livraison consegna geboorte"
)
IDENTIFIER = _set(
    "id ids key code no nr num number hash guid uuid identifier nummer kennung codice codigo código numero número "
    "numéro kod код номер 编号 番号 编码 번호"
)
OTHER_IDENTIFIER = _set(
    "session order invoice basket transaction trans receipt event request cart visit row index unnamed"
)
RATING = _set(
    "rating ratings stars star score grade rate overall bewertung note punktzahl calificacion puntuacion valoracion "
    "voto оценка рейтинг 评分 分数 评价 評価 평점"
)
# Of a number that is no grade, whatever its values are.
NO_GRADE = _set(
    "quantity qty count amount number num position rank hour day weekday dow month minute week quarter year age size "
    "page level step slot index distance price cost session episode season version width height length group tier "
    "menge anzahl monat tag stunde cantidad quantite количество 数量"
)
# Of a number that says which of a user's events came first.
PLACE = ("number", "sequence", "seq", "step", "turn", "position", "order", "rank")
QUANTITY = _set(
    "quantity qty count amount units total price menge anzahl cantidad quantite quantité количество 数量 數量"
)
# Numbers that come again and again, and how many there are: they order no events.
CLOCK = {
    "hour": 24,
    "weekday": 7,
    "dow": 7,
    "dayofweek": 7,
    "minute": 60,
    "day": 31,
    "month": 12,
    "week": 53,
    "quarter": 4,
}
# Before a capital, and between another script than Latin and an ASCII letter, as in `用户id`.
_BETWEEN_WORDS = re.compile(
    r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[\u0370-\u1fff\u3000-\uffff])(?=[A-Za-z])"
)
_TYPED = re.compile(r":(token|float)(_seq)?$")
EVENT_TYPE = _set(
    "event type action behavior behaviour kind activity interaction verb ereignis aktion evento acción accion azione "
    "ação acao événement evenement actie gebeurtenis akcja zdarzenie eylem действие событие 行为 操作 事件 行動 "
    "イベント 행동 이벤트"
)
CLICK = _set("click clicked purchased bought label converted conversion liked like target response booked ordered")
CONTEXT = _set(
    "device os platform browser country region city state language lang locale channel source referrer referer "
    "medium campaign app version age gender sex segment tier plan membership store position slot weekday weather "
    "gerät geraet endgerät kanal land stadt sprache betriebssystem filiale wochentag dispositivo país pais ciudad "
    "idioma canal appareil pays ville langue apparaat taal urządzenie устройство страна город 设备 渠道 国家 城市 "
    "端末 地域 기기 지역"
)
CODED = _set("id code category type class group zip postcode department level status")
NUMBERLIKE = _set("price cost amount count year age rank size weight length duration score number quantity")


def without_type(name: str) -> str:
    """The name without the type that RecBole's files write behind it: `age:token` is `age`."""
    return name.removesuffix("_seq").removesuffix(":token").removesuffix(":float") if _TYPED.search(name) else name


def is_typed_sequence(name: str) -> bool:
    """Whether the name says that a value is several entries with blanks between them, as RecBole's `:token_seq`."""
    return bool(_TYPED.search(name)) and name.endswith("_seq")


def words(name: str) -> list[str]:
    """The words of a column's name: `Customer ID`, `customerId` and `CUSTOMER_ID` are `customer`, `id`."""
    normal = unicodedata.normalize("NFKC", without_type(name))
    spaced = _BETWEEN_WORDS.sub(" ", normal)
    found = [word.lower() for word in re.split(r"[\W_]+", spaced) if word]
    return [part for word in found for part in _without_suffix(word)]


def _without_suffix(word: str) -> list[str]:
    """`userid` is `user`, `id`; `itemcode` is `item`, `code`; `bestelldatum` is `bestell`, `datum`."""
    for suffix in ("id", "code", "key", "no", "nr", "nummer", "编号", "番号", "编码", "번호"):
        stem = word.removesuffix(suffix)
        if stem != word and stem in USER | ITEM | OTHER_IDENTIFIER:
            return [stem, suffix]
    for suffix in ("datum", "zeitpunkt", "时间", "日期", "日時"):
        if word.endswith(suffix) and word != suffix:
            return [word.removesuffix(suffix), suffix]
    return [word]


def role_score(name: str, role: Iterable[str]) -> float:
    """How well a name fits a role: 3 for `user_id`, 2 for `user`, 1 for `user_name_hash`, 0.5 for `user_country`."""
    head, dot, last = name.rpartition(".")
    if head and dot:
        # A field of a structure is called by its own name or by the structure's: `product.info.sku`, `user.id`.
        return max(_score_of(name, role), _score_of(last, role))
    return _score_of(name, role)


def _score_of(name: str, role: Iterable[str]) -> float:
    found = words(name)
    role_words = [word for word in found if word in role]
    if not role_words:
        return 0.0
    others = [word for word in found if word not in role_words]
    if not others:
        return 2.0
    if all(word in IDENTIFIER for word in others):
        return 3.0
    return 1.0 if any(word in IDENTIFIER for word in others) else 0.5


def identifier(name: str) -> str:
    """A feature's name made from a column's: ASCII letters, digits and underscores, such as `biaoti` for `标题`.

    TensorFlow names the inputs of SavedModels in ASCII only.
    """
    latin = anyascii(unicodedata.normalize("NFKC", without_type(name))).lower()
    made = re.sub(r"[^a-z0-9]+", "_", latin).strip("_") or "column"
    return made if made.isidentifier() else f"c_{made}"
