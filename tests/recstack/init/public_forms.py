"""Tables in the form of public data sets: files, columns, delimiters, encodings, types. Every row is made up.

Each function writes the files of one data set into a folder and returns the rows of its log.
"""

import gzip
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

NUM_USERS, NUM_ITEMS, EVENTS_A_USER = 40, 30, 12
NUM_EVENTS = NUM_USERS * EVENTS_A_USER
_START, _HOUR = 1_500_000_000, 3600
_GENRES = ("Action", "Comedy", "Drama", "Film-Noir", "Sci-Fi")
_BRANDS = ("acme", "globex", "initech", "umbrella", "")

Event = tuple[int, int, int, int]
"""User and item from 1, rating from 1 to 5, seconds."""


def events() -> list[Event]:
    """The log: users come again over half a year, and ratings differ within users and items."""
    rng = np.random.default_rng(7)
    rows = []
    for user in range(1, NUM_USERS + 1):
        items = rng.choice(NUM_ITEMS, EVENTS_A_USER, replace=False) + 1
        times = _START + np.sort(rng.choice(4000, EVENTS_A_USER, replace=False)) * _HOUR + user
        rows += [(user, int(i), int(r), int(t)) for i, r, t in zip(items, rng.integers(1, 6, 12), times, strict=True)]
    return rows


def _lines(path: Path, rows: Iterable[Sequence[object]], delimiter: str, encoding: str = "utf-8") -> None:
    path.write_text("".join(delimiter.join(map(str, row)) + "\n" for row in rows), encoding=encoding)


def _objects(path: Path, rows: Iterable[object], *, python: bool = False) -> None:
    text = "".join((repr(row) if python else json.dumps(row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def _title(item: int) -> str:
    return f"Café Número {item}, The ({1980 + item})"


def _genres(item: int) -> str:
    return "|".join(sorted({_GENRES[item % 5], _GENRES[item // 5 % 5]}))


def _text(seconds: int, pattern: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(pattern)


def movielens_100k(folder: Path) -> None:
    """Without headers: tabs, and bars in Latin-1 with a flag for each genre."""
    _lines(folder / "u.data", events(), "\t")
    items = [
        (i, _title(i), f"{i % 28 + 1:02d}-Jan-1995", "", f"http://us.imdb.com/M/title-exact?{i}", *_flags(i))
        for i in range(1, NUM_ITEMS + 1)
    ]
    _lines(folder / "u.item", items, "|", "latin-1")
    users = [(u, 18 + u, "MF"[u % 2], ("student", "writer", "other")[u % 3], f"{u:05d}") for u in _users()]
    _lines(folder / "u.user", users, "|")


def _flags(item: int) -> list[int]:
    return [int(n in (item % 19, item * item % 19)) for n in range(19)]


def _users() -> range:
    return range(1, NUM_USERS + 1)


def _items() -> range:
    return range(1, NUM_ITEMS + 1)


def movielens_1m(folder: Path) -> None:
    """Without headers: `::`, Latin-1."""
    _lines(folder / "ratings.dat", events(), "::")
    _lines(folder / "movies.dat", ((i, _title(i), _genres(i)) for i in _items()), "::", "latin-1")
    _lines(folder / "users.dat", ((u, "MF"[u % 2], 18 + u % 40, u % 20, f"{u:05d}") for u in _users()), "::")


def movielens_latest(folder: Path) -> None:
    """Commas and headers; half stars."""
    rows = [("userId", "movieId", "rating", "timestamp"), *((u, i, r - 0.5, t) for u, i, r, t in events())]
    _lines(folder / "ratings.csv", rows, ",")
    films = [("movieId", "title", "genres"), *((i, f'"{_title(i)}"', _genres(i)) for i in _items())]
    _lines(folder / "movies.csv", films, ",")


def _isbn(item: int) -> str:
    return f"{item * 7919:09d}" + ("X" if item % 4 == 0 else str(item % 10))


def book_crossing(folder: Path) -> None:
    """Semicolons, quotes, Latin-1, `NULL`; ratings of 0 are none; no time."""
    header = '"User-ID";"ISBN";"Book-Rating"'
    rows = [f'"{u}";"{_isbn(i)}";"{0 if (u + i) % 3 else 2 * r}"' for u, i, r, _ in events()]
    (folder / "BX-Book-Ratings.csv").write_text("\n".join([header, *rows]) + "\n", encoding="latin-1")
    header = '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"'
    rows = [
        f'"{_isbn(i)}";"{_title(i)}; \\"a novel\\" &amp; more";"Author {i % 7}";"{1980 + i}";"Publisher {i % 4}";'
        f'"http://images.example/{i}.jpg"'
        for i in _items()
    ]
    (folder / "BX-Books.csv").write_text("\n".join([header, *rows]) + "\n", encoding="latin-1")
    header = '"User-ID";"Location";"Age"'
    rows = [f'"{u}";"paris, île-de-france, france";' + ("NULL" if u % 3 else f'"{u + 18}"') for u in _users()]
    (folder / "BX-Users.csv").write_text("\n".join([header, *rows]) + "\n", encoding="latin-1")


def lastfm_hetrec(folder: Path) -> None:
    """Tabs under `.dat`, how often an artist was played, no time."""
    rows = [("userID", "artistID", "weight"), *((u, i, r * r * 97) for u, i, r, _ in events())]
    _lines(folder / "user_artists.dat", rows, "\t")
    artists = [(i, f'The "{_title(i)}', f"http://www.last.fm/music/{i}", f"http://img.example/{i}") for i in _items()]
    _lines(folder / "artists.dat", [("id", "name", "url", "pictureURL"), *artists], "\t")


def goodbooks(folder: Path) -> None:
    """Several ids a book, of which one is the log's; no time."""
    _lines(folder / "ratings.csv", [("user_id", "book_id", "rating"), *(e[:3] for e in events())], ",")
    header = "book_id,goodreads_book_id,best_book_id,work_id,books_count,isbn13,authors,original_publication_year"
    header += ",title,language_code,average_rating,ratings_count"
    books = [
        f'{i},{i * 31 + 7},{i * 31 + 7},{i * 997},{i % 9 + 1},{9780000000000 + i:.3e},"Author {i % 7}, Other {i % 5}",'
        f'{1900 + i}.0,"{_title(i)}",{("eng", "en-US", "fre")[i % 3]},{3 + i / 30:.2f},{1000 + i * 17}'
        for i in _items()
    ]
    (folder / "books.csv").write_text("\n".join([header, *books]) + "\n", encoding="utf-8")


def retail_rocket(folder: Path) -> None:
    """Milliseconds, three kinds of events; properties of items in rows, with times of their own."""
    kinds = ("view", "view", "view", "addtocart", "transaction")
    rows = [(t * 1000 + 7, u * 11, kinds[r - 1], i * 13, u * 100 + i if r == 5 else "") for u, i, r, t in events()]
    _lines(folder / "events.csv", [("timestamp", "visitorid", "event", "itemid", "transactionid"), *rows], ",")
    properties = [
        (_START * 1000 + week * 604_800_000, i * 13, name, value)
        for i in _items()
        for week in range(2)
        for name, value in (("categoryid", i % 6 + 100), ("available", week), ("790", f"n{i * 12}.000"))
    ]
    header = ("timestamp", "itemid", "property", "value")
    _lines(folder / "item_properties_part1.csv", [header, *properties[::2]], ",")
    _lines(folder / "item_properties_part2.csv", [header, *properties[1::2]], ",")


def rees46(folder: Path) -> None:
    """` UTC` behind the times, category ids beyond 2^53, brands and codes that are missing."""
    kinds = ("view", "view", "view", "cart", "purchase")
    header = ("event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id")
    rows = [
        (
            *(_text(t, "%Y-%m-%d %H:%M:%S UTC"), kinds[r - 1], 1_000_000 + i, 2_053_013_555_631_882_655 + i % 6),
            *(
                ("electronics.smartphone", "", "apparel.shoes")[i % 3],
                _BRANDS[i % 5],
                f"{i * 3.5:.2f}",
                540_000_000 + u,
            ),
            f"{u:08x}-9fb4-{r:04x}",
        )
        for u, i, r, t in events()
    ]
    _lines(folder / "2019-Oct.csv", [(*header, "user_session"), *rows], ",")


def instacart(folder: Path) -> None:
    """Orders and their products in two tables, which the command of the page joins; days of the week, no dates."""
    header = "order_id,user_id,eval_set,order_number,order_dow,order_hour_of_day,days_since_prior_order"
    orders = [
        f"{u * 10 + n},{u},prior,{n},{(u + n) % 7},{8 + n},{'' if n == 1 else float(n)}"
        for u in _users()
        for n in (1, 2, 3, 4)
    ]
    (folder / "orders.csv").write_text("\n".join([header, *orders]) + "\n", encoding="utf-8")
    bought = [(u * 10 + 1 + n % 4, i, n // 4 + 1, n % 2) for n, (u, i, _, _) in enumerate(events())]
    names = ("order_id", "product_id", "add_to_cart_order", "reordered")
    _lines(folder / "order_products__prior.csv", [names, *sorted(bought)], ",")
    products = [f'{i},"{_title(i)}",{i % 6 + 1},{i % 3 + 1}' for i in _items()]
    header = "product_id,product_name,aisle_id,department_id"
    (folder / "products.csv").write_text("\n".join([header, *products]) + "\n", encoding="utf-8")


def mind(folder: Path) -> None:
    """Without headers: lists of shown news with clicks, the history before; titles, JSON in columns."""
    rng = np.random.default_rng(3)
    rows = []
    for number, (user, item, _, seconds) in enumerate(sorted(events(), key=lambda e: e[3]), 1):
        shown = [f"N{item}-1", *(f"N{i}-0" for i in rng.choice(NUM_ITEMS, 4, replace=False) + 1 if i != item)]
        before = " ".join(f"N{i}" for i in np.random.default_rng(user).integers(1, NUM_ITEMS + 1, user % 6))
        when = _text(seconds, "%m/%d/%Y %I:%M:%S %p")
        rows.append((number, f"U{user}", when, before, " ".join(rng.permutation(shown))))
    _lines(folder / "behaviors.tsv", rows, "\t")
    entities = json.dumps([{"Label": "A", "Type": "P", "WikidataId": "Q1", "SurfaceForms": ["A"]}])
    news = [
        (f"N{i}", ("sports", "news", "finance")[i % 3], f"sub{i % 9}", _title(i), f'She said "no {i}', f"http://n/{i}")
        for i in _items()
    ]
    _lines(folder / "news.tsv", ((*row, entities, "[]") for row in news), "\t")


def kuairec(folder: Path) -> None:
    """Three columns of times, watch ratios, lists as texts, dozens of columns of users."""
    header = ("user_id", "video_id", "play_duration", "video_duration", "time", "date", "timestamp", "watch_ratio")
    rows = [
        (
            u,
            i,
            r * 2100,
            5000 + i,
            _text(t, "%Y-%m-%d %H:%M:%S.123"),
            _text(t, "%Y%m%d"),
            f"{t}.123",
            r * 2100 / (5000 + i),
        )
        for u, i, r, t in events()
    ]
    _lines(folder / "big_matrix.csv", [header, *rows], ",")
    lines = ["video_id,feat", *(f'{i},"[{i % 7}, {i % 5 + 10}]"' for i in _items())]
    (folder / "item_categories.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    header = ("user_id", "user_active_degree", "is_lowactive_period", "register_days", "onehot_feat0", "onehot_feat1")
    users = [(u, ("full_active", "high_active", "UNKNOWN")[u % 3], 0, 100 + u, u % 2, u % 7) for u in _users()]
    _lines(folder / "user_features.csv", [header, *users], ",")


def _review(event: Event) -> dict[str, object]:
    user, item, rating, seconds = event
    return {
        "reviewerID": f"A{user:013d}",
        "asin": f"B{item:09d}",
        "reviewerName": f'J. "{user}" Doe',
        "reviewText": f"It's number {item}.\nGood, {rating} of 5.",
        "overall": float(rating),
        "summary": "fine",
        "unixReviewTime": seconds // 86_400 * 86_400,
        "reviewTime": _text(seconds, "%m %d, %Y"),
    }


def amazon_2014(folder: Path) -> None:
    """Reviews in JSON, items in Python's notation with lists in lists and objects."""
    _objects(folder / "reviews_Books_5.json.gz", (_review(e) | {"helpful": [0, 1]} for e in events()))
    items = [
        {"asin": f"B{i:09d}", "title": _title(i), "price": i + 0.99, "imUrl": f"http://img.example/{i}.jpg"}
        | {"related": {"also_bought": [f"B{i + 1:09d}"]}, "salesRank": {"Books": i * 31}}
        | ({"brand": _BRANDS[i % 4]} if i % 2 else {})
        | {"categories": [["Books", f"Shelf {i % 6}"], ["Gifts"]]}
        for i in _items()
    ]
    _objects(folder / "meta_Books.json.gz", items, python=True)


def amazon_2018(folder: Path) -> None:
    """As before, with styles of products, lists of categories and prices with a currency sign."""
    more = ({"verified": True, "vote": "2", "style": {"Color:": f" c{n % 3}"}} for n in range(NUM_EVENTS))
    _objects(folder / "Books_5.json.gz", (_review(e) | extra for e, extra in zip(events(), more, strict=True)))
    items = [
        {"category": ["Books", f"Shelf {i % 6}"], "description": [f"All of {i}", "and more"], "title": _title(i)}
        | {"also_buy": [f"B{i + 1:09d}"], "brand": _BRANDS[i % 4], "rank": f"{i * 31:,} in Books ("}
        | {"price": f"${i}.99" if i % 5 else "", "asin": f"B{i:09d}"}
        for i in _items()
    ]
    _objects(folder / "meta_Books.json.gz", items)


def amazon_2023(folder: Path) -> None:
    """Milliseconds, two ids of items, lists of objects."""
    reviews = [
        {"rating": float(r), "title": "fine", "text": f"Number {i}.\nGood.", "images": [], "asin": f"B{i:09d}"}
        | {"parent_asin": f"B{i:09d}", "user_id": f"AE{u:026d}", "timestamp": t * 1000 + 7, "helpful_vote": r % 2}
        | {"verified_purchase": bool((u + i) % 4)}
        for u, i, r, t in events()
    ]
    _objects(folder / "Books.jsonl.gz", reviews)
    items = [
        {"main_category": "Books", "title": _title(i), "average_rating": 3 + i / 30, "rating_number": i * 17}
        | {"features": [f"f{i % 4}"], "description": [f"All of {i}"], "price": i + 0.99 if i % 3 else None}
        | {"images": [{"thumb": "t", "large": "l"}], "videos": [], "store": f"Store {i % 5}"}
        | {"categories": ["Books", f"Shelf {i % 6}"], "details": {"Pages": f"{i}"}, "parent_asin": f"B{i:09d}"}
        for i in _items()
    ]
    _objects(folder / "meta_Books.jsonl.gz", items)


def steam(folder: Path) -> None:
    """Python's notation in both files, with `u''`; hours played, days as texts."""
    reviews = [
        {
            "username": f"player {u}",
            "hours": r * 7.5,
            "products": u * 3,
            "product_id": str(i * 10),
            "page_order": i % 10,
        }
        | {"date": _text(t, "%Y-%m-%d"), "text": f"it's {r}", "early_access": bool(i % 2), "page": 1}
        for u, i, r, t in events()
    ]
    _objects(folder / "steam_reviews.json.gz", reviews, python=True)
    games = [
        {"publisher": f"Publisher {i % 4}", "genres": _genres(i).split("|"), "app_name": _title(i), "title": _title(i)}
        | {"url": f"http://store.example/app/{i}", "release_date": f"{1990 + i}-01-02", "tags": ["Indie", f"t{i % 5}"]}
        | {"price": "Free to Play" if i % 9 == 0 else i + 0.99, "id": str(i * 10), "developer": f"Dev {i % 6}"}
        for i in _items()
    ]
    _objects(folder / "steam_games.json.gz", games, python=True)


def steam_200k(folder: Path) -> None:
    """Without header and time: games by their names, bought or played for some hours."""
    rows = []
    for user, item, rating, _ in events():
        rows.append((user * 1001, f'"Game {item}, the {_GENRES[item % 5]}"', "purchase", 1.0, 0))
        if rating > 2:
            rows.append((user * 1001, f'"Game {item}, the {_GENRES[item % 5]}"', "play", rating * 1.5, 0))
    _lines(folder / "steam-200k.csv", rows, ",")


def recbole(folder: Path) -> None:
    """Tabs; the type of each column behind its name."""
    rows = [("user_id:token", "item_id:token", "rating:float", "timestamp:float"), *events()]
    _lines(folder / "films.inter", rows, "\t")
    items = [(i, _title(i), 1980 + i, _genres(i).replace("|", " ")) for i in _items()]
    header = ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")
    _lines(folder / "films.item", [header, *items], "\t")
    users = [(u, 18 + u, "MF"[u % 2]) for u in _users()]
    _lines(folder / "films.user", [("user_id:token", "age:token", "gender:token"), *users], "\t")


def criteo(folder: Path) -> None:
    """Tabs, no header: a click or none, thirteen counts, twenty-six hashed categories; no user, no item, no time."""
    rows = [
        (
            *(int(r > 3), *(("", n * r, u * i + n)[n % 3] for n in range(13)), f"{u * 7919:08x}", f"{i * 104_729:08x}"),
            *(f"{(u * (n + 1) + i * (n + 2)) % 29:08x}" for n in range(24)),
        )
        for u, i, r, _ in events()
    ]
    _lines(folder / "train.txt", rows, "\t")
