"""What is proposed to compare the model with."""

import numpy as np
import pytest

from recstack.init.choose_baselines import choose_baselines
from recstack.init.log import Log


def log_of(items: list[int]) -> Log:
    """One user who takes them, one a second."""
    count = len(items)
    seconds, rows = np.arange(count), np.arange(count)
    users = np.zeros(count, np.int64)
    return Log(users=users, items=np.array(items), seconds=seconds, rows=rows, is_order=False, share=1.0)


AGAIN, ONCE, SOME = log_of([1, 2, 1, 2, 1, 2]), log_of([1, 2, 3, 4, 5, 6]), log_of([1, 2, 3, 4, 5, 1])


@pytest.mark.parametrize(
    ("log", "examples", "with_content", "names"),
    [
        (ONCE, "event", False, []),
        (ONCE, "event", True, ["popularity", "item_cf", "content"]),
        (AGAIN, "event", False, ["popularity", "item_cf", "repeat"]),
        (AGAIN, "basket", True, ["popularity", "item_cf", "repeat", "content"]),
        (SOME, "event", False, []),
        (SOME, "basket", False, ["popularity", "item_cf", "repeat"]),
    ],
)
def test_names_follow_what_the_log_holds(log: Log, examples: str, with_content: bool, names: list[str]) -> None:
    found = list(choose_baselines(log, examples, with_content=with_content))
    assert [setting.value for setting in found] == ([names] if names else [])
    assert all(f"`{name}`" in setting.why for setting in found for name in names[2:])
