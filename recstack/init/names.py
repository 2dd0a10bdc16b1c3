"""What the names of columns tell of their meaning."""

import re
from collections.abc import Iterable


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


USER = _set(
    "user users customer customers client member visitor account buyer reader viewer listener subscriber player person "
    "patient student reviewer household shopper guest profile uid cust consumer"
)
ITEM = _set(
    "item items product products sku article movie film book track song artist asin isbn content offer listing video "
    "business venue place location poi ad news goods stock stockcode material recipe game anime document page url "
    "show episode course job hotel restaurant post channel app iid pid"
)
TIME = _set("timestamp time datetime date day ts created at when dt eventtime unixtime utc occurred")
LATER_TIME = _set("updated modified changed expires birth birthday delivered shipped end ended release")
IDENTIFIER = _set("id ids key code no nr num number hash guid uuid identifier")
OTHER_IDENTIFIER = _set(
    "session order invoice basket transaction trans receipt event request cart visit row index unnamed"
)
RATING = _set("rating ratings stars star score grade rate overall")
EVENT_TYPE = _set("event type action behavior behaviour kind activity interaction verb")
CLICK = _set("click clicked purchased bought label converted conversion liked like target response booked ordered")
CONTEXT = _set(
    "device os platform browser country region city state language lang locale channel source referrer referer medium "
    "campaign app version age gender sex segment tier plan membership store position slot weekday weather"
)
CODED = _set("id code category type class group zip postcode department level status")
NUMBERLIKE = _set("price cost amount count year age rank size weight length duration score number quantity")


def words(name: str) -> list[str]:
    """The words of a column's name: `Customer ID`, `customerId` and `CUSTOMER_ID` are `customer`, `id`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = [word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word]
    return [part for word in found for part in _without_suffix(word)]


def _without_suffix(word: str) -> list[str]:
    """`userid` is `user`, `id`, and `itemcode` is `item`, `code`."""
    for suffix in ("id", "code", "key", "no"):
        stem = word.removesuffix(suffix)
        if stem != word and stem in USER | ITEM | OTHER_IDENTIFIER:
            return [stem, suffix]
    return [word]


def role_score(name: str, role: Iterable[str]) -> float:
    """How well a name fits a role: 3 for `user_id`, 2 for `user`, 1 for `user_name_hash`, 0.5 for `user_country`."""
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
    """A feature's name made from a column's: letters, digits and underscores."""
    made = re.sub(r"\W+", "_", name.strip(), flags=re.ASCII).strip("_").lower() or "column"
    return f"c_{made}" if made[0].isdigit() else made
