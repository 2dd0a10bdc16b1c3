"""Interactions whose right answer is known: even users like even items, odd users odd ones.

The pattern comes in three sizes. `likings` is the bare pattern, from which tests make tables of their own.
`tests.trainer.small_dataset` is a dataset directory of it, without Beam. `write_checkerboard` makes the tables and the
configuration of a whole recommender, which the fixture `checkerboard` trains and exports once.

In the recommender each user rates all twenty items of the own parity 5 and ten of the other parity 1. The last tenth of
a user's liked items, two of them, is the test, the tenth before the validation. So there are two liked items that a
query at test time has not seen, and they are its targets: a model that has understood has recall@2 = 1.
"""

import csv
import random
from pathlib import Path

from recstack.config import StackConfig, parse_config

NUM_USERS = 40
NUM_ITEMS = 40
LIKED, DISLIKED = 5.0, 1.0

_CONFIG = """
workdir = "{workdir}"
seed = 1

[[features.query]]
kind = "id"
name = "user_id"

[[features.query]]
kind = "history"
length = 20

[[features.query]]
kind = "timestamp"
name = "timestamp"
parts = ["hour_of_day"]

[[features.candidate]]
kind = "id"
name = "item_id"

[[features.candidate]]
kind = "text"
name = "title"
num_buckets = 64
max_tokens = 4

[[features.candidate]]
kind = "numeric"
name = "number"

[[features.candidate]]
kind = "multi_valued"
name = "remainders"

[pipeline]
num_shards = 2

[pipeline.interactions]
path = "{interactions}"

[pipeline.items]
path = "{items}"

[pipeline.label]
rating_column = "rating"
min_positive_rating = 4.0

[pipeline.split]
kind = "per_user_fraction"
validation = 0.1
test = 0.1

[retrieval]
dimension = 2
batch_size = 64
epochs = 24

[retrieval.optimizer]
learning_rate = 0.02

[ranking]
dimension = 8
batch_size = 64
epochs = 6

[ranking.optimizer]
learning_rate = 0.02

[index]
kind = "scann_tree"
tuned_k = 5

[evaluation]
cutoffs = [2, 5]
resamples = 50

[export]
retrieval_k = 5
recommender_candidates = 20
recommender_limit = 5
"""


def item(number: int) -> str:
    return f"i{number}"


def title(number: int) -> str:
    return f"{'even' if number % 2 == 0 else 'odd'} film {number}"


def liked_by(user: int, num_items: int) -> list[int]:
    """The items that a user likes, ascending."""
    return [number for number in range(num_items) if number % 2 == user % 2]


def likings(num_users: int, num_items: int) -> list[tuple[int, int]]:
    """Each user with each item that the user likes."""
    return [(user, number) for user in range(num_users) for number in liked_by(user, num_items)]


def likes(user_id: str, item_id: str) -> bool:
    number = int(item_id[1:])
    return number in liked_by(int(user_id[1:]), number + 1)


def write_checkerboard(folder: Path) -> StackConfig:
    """Writes the tables and returns the configuration of a recommender in `folder / "work"`."""
    rows = [row for user in range(NUM_USERS) for row in _events(user)]
    _write(folder / "interactions.csv", ("user_id", "item_id", "rating", "timestamp"), rows)
    items = [(item(n), title(n), n, f"three{n % 3}|five{n % 5}") for n in range(NUM_ITEMS)]
    _write(folder / "items.csv", ("item_id", "title", "number", "remainders"), items)
    return parse_config(
        _CONFIG.format(workdir=folder / "work", interactions=folder / "interactions.csv", items=folder / "items.csv")
    )


def _events(user: int) -> list[tuple[str, str, float, int]]:
    draw = random.Random(user)
    liked = liked_by(user, NUM_ITEMS)
    others = draw.sample([n for n in range(NUM_ITEMS) if n not in liked], 10)
    draw.shuffle(liked)
    train = liked[:16] + others[:6]
    draw.shuffle(train)
    order = [*train, liked[16], *others[6:8], liked[17], liked[18], *others[8:10], liked[19]]
    start = 1_700_000_000 + user
    return [
        (f"u{user}", item(n), LIKED if n in liked else DISLIKED, start + 3600 * step) for step, n in enumerate(order)
    ]


def _write(path: Path, header: tuple[str, ...], rows: list) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
