"""The table at the end of the demo."""

import io

import pytest
from rich.console import Console

from recstack.verbs.demo import second_stage


def metrics(value: float) -> dict[str, dict[str, dict[str, float]]]:
    return {"metrics": {f"{name}@{k}": {"value": value} for name in ("ndcg", "recall") for k in (10, 100)}}


@pytest.mark.parametrize(("ranks", "served"), [(True, "the list ranker orders"), (False, "retrieval itself orders")])
def test_the_demo_ends_with_what_the_second_stage_brings(ranks: bool, served: str) -> None:
    gain, of_task = ({"value": value, "low": value - 0.01, "high": value + 0.01} for value in (0.0312, -0.0021))
    task = {"retrieval": 0.1056, "cascade": 0.1035, "difference": of_task}
    result = {
        "cutoffs": [10, 100],
        "ranks": ranks,
        "model": metrics(0.1782),
        "baselines": {"retrieval": metrics(0.147)},
        "versus": {"retrieval": {name: {"difference": gain} for name in ("ndcg@10", "recall@10")}},
        "by_label": {"liked": {"ndcg@10": task, "recall@10": task}},
    }
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(second_stage(result))
    text = console.export_text()
    assert served in text
    rows = [[cell.strip() for cell in line.strip("│ ").split("│")] for line in text.splitlines() if "@10" in line]
    assert rows[0] == ["ndcg@10, taken", "0.1470", "0.1782", "+0.0312 [+0.0212, +0.0412]"]
    assert rows[1] == ["ndcg@10, liked", "0.1056", "0.1035", "-0.0021 [-0.0121, +0.0079]"]
    assert [row[0] for row in rows[2:]] == ["recall@10, taken", "recall@10, liked"]
