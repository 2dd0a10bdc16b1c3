"""Requests can name their time where the list ranker counts the days since earlier purchases back from it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.spec.time import TimestampFeature
from recstack.__main__ import main
from recstack.config import load_config

_START, _DAY = 1_700_000_000, 86_400


def write_shop(path: Path, num_users: int, months: int = 3) -> Path:
    """Each user buys the same eight articles each month, in one basket."""
    users = np.repeat(np.arange(num_users), 8)
    items = (users * 7 + np.tile(np.arange(8), num_users)) % 40
    baskets = [
        pd.DataFrame({"user_id": users, "item_id": items, "timestamp": _START + (users % 50 + 30 * month) * _DAY})
        for month in range(months)
    ]
    pd.concat(baskets).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(("num_users", "ranks_lists"), [(200, True), (100, False)])
def test_the_time_of_requests_is_proposed_with_the_list_ranker(
    tmp_path: Path, num_users: int, ranks_lists: bool
) -> None:
    table, output = write_shop(tmp_path / "shop.csv", num_users), tmp_path / "shop.toml"
    assert main(["init", "--interactions", str(table), "--output", str(output)]) == 0
    stack = load_config(output)
    assert stack.features.history_times is not None
    assert stack.list_ranking.enabled == ranks_lists
    text = output.read_text()
    assert ('# kind = "timestamp"' in text) == ranks_lists
    if ranks_lists:
        assert "only if every request sends it" in " ".join(text.replace("#", " ").split())
        start = text.index("# [[features.query]]", text.index("the time of the request"))
        end = text.index("[[features.candidate]]")
        output.write_text(text[:start] + text[start:end].replace("# ", "") + text[end:])
        changed = load_config(output).features
        assert changed.query == (*stack.features.query, TimestampFeature(name="timestamp", parts=()))
        assert changed.embedded_query == stack.features.embedded_query


def test_months_are_learnt_where_the_log_to_train_on_covers_each(tmp_path: Path) -> None:
    for months, parts in ((14, ()), (18, ("day_of_week", "month"))):
        table, output = write_shop(tmp_path / "shop.csv", 100, months), tmp_path / "shop.toml"
        assert main(["init", "--force", "--interactions", str(table), "--output", str(output)]) == 0
        times = [feature for feature in load_config(output).features.query if isinstance(feature, TimestampFeature)]
        assert times == ([TimestampFeature(name="timestamp", parts=parts)] if parts else [])


@pytest.mark.parametrize("kind", ["global_time", "per_user_fraction", "leave_last_out"])
def test_the_split_that_is_asked_for_is_proposed_and_the_list_ranker_cut_by_it(tmp_path: Path, kind: str) -> None:
    table, output = write_shop(tmp_path / "shop.csv", 200), tmp_path / "shop.toml"
    assert main(["init", "--interactions", str(table), "--output", str(output), "--split", kind]) == 0
    stack = load_config(output)
    assert stack.pipeline.split.kind == kind
    assert stack.list_ranking.fold_kind == kind
