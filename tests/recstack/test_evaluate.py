"""The table that `recstack evaluate` shows."""

import io
from typing import get_args

from rich.console import Console

from recstack.arguments import parse
from recstack.config import load_config
from recstack.verbs.evaluate import EvaluateArguments, better_baselines, cascade_tables, retrieval_tables
from trainer.config.baselines import BaselineName


def metrics(recall: float) -> dict:
    interval = {"value": recall, "low": recall - 0.1, "high": recall + 0.1}
    return {"recall@1": interval, "ndcg@1": interval, "recall@5": interval, "mrr@1": interval}


def row(name: str, recall: float, cold: float | None = None) -> dict:
    nothing = {"num_queries": 0, "num_targets": 0, "metrics": {}}
    part = nothing if cold is None else {"num_queries": 7, "num_targets": 1234, "metrics": metrics(cold)}
    catalogue = {"coverage@1": 0.2, "coverage@5": 0.5}
    slices = {"item: cold": part}
    return {"model": name, "num_queries": 40, "metrics": metrics(recall), "catalogue": catalogue, "slices": slices}


def test_each_model_has_its_intervals_and_a_star_only_where_the_difference_is_certain() -> None:
    result = {
        "split": "test",
        "cutoffs": [1, 5],
        "model": row("two_tower", 0.5),
        "baselines": {"apart": row("apart", 0.2), "close": row("close", 0.49)},
        "versus": {
            "apart": {name: {"p_value": 0.001} for name in ("recall@1", "ndcg@1", "recall@5")},
            "close": {name: {"p_value": 0.6} for name in ("recall@1", "ndcg@1", "recall@5")},
        },
    }
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(*retrieval_tables(result))
    text = console.export_text()
    assert "\u2026" not in text  # nothing is cut off on a terminal of 80 columns
    lines = {words[1]: line for line in text.splitlines() if len(words := line.split()) > 2}
    assert lines["apart"].count("0.2000*") == 3
    assert lines["close"].count("0.4900") == 3
    assert "*" not in lines["close"] + lines["two_tower"]
    assert "0.400-0.600" in text
    assert "0.500" in lines["two_tower"]


def test_a_baseline_that_is_certainly_better_is_named() -> None:
    def test(low: float, high: float) -> dict:
        return {"ndcg@1": {"p_value": 0.01, "difference": {"value": (low + high) / 2, "low": low, "high": high}}}

    versus = {"repeat": test(-0.03, -0.01), "item_cf": test(-0.03, 0.01), "popularity": test(0.1, 0.2)}
    result = {"cutoffs": [1, 5], "baselines": {name: {} for name in versus}, "versus": versus}
    (line,) = better_baselines(result)
    assert line.startswith("the baseline repeat is better than the model: ndcg@1 is higher by 0.0200 [0.0100, 0.0300]")
    assert not list(better_baselines({"tasks": {}}))


def test_cold_items_have_a_table_of_their_own_where_there_are_targets() -> None:
    result = {
        "split": "test",
        "cutoffs": [1, 5],
        "model": row("two_tower", 0.5, cold=0.25),
        "baselines": {"content": row("content", 0.4, cold=0.125)},
        "versus": {},
        "new_items": [{"places": 2.0, "ndcg": 0.31, "recall": 0.32, "cold_recall": 0.33}],
    }
    console = Console(width=80, record=True, file=io.StringIO())
    _, *cold = retrieval_tables(result)
    console.print(*cold)
    text = console.export_text()
    assert "1,234 targets of 7 queries" in text
    lines = {words[1]: line for line in text.splitlines() if len(words := line.split()) > 2}
    # recall@1, ndcg@1 and recall@5
    assert lines["two_tower"].count("0.2500") == lines["content"].count("0.1250") == 3
    assert lines["2"].split("│")[2:5] == [" 0.3100 ", "   0.3200 ", "        0.3300 "]
    without = result | {"model": row("two_tower", 0.5), "baselines": {}}
    assert len(list(retrieval_tables(without))) == 1


def test_the_cascade_shows_what_is_served_and_what_each_task_gains() -> None:
    gain = {"value": 0.0312, "low": -0.0045, "high": 0.0678}
    result = {
        "split": "test",
        "cutoffs": [1, 5],
        "model": row("cascade", 0.5),
        "baselines": {"retrieval": row("retrieval", 0.4)},
        "versus": {"retrieval": {name: {"p_value": 0.001} for name in ("recall@1", "ndcg@1", "recall@5")}},
        "ranks": False,
        "reason": "why it is so",
        "by_label": {"liked": {"ndcg@1": {"cascade": 0.5312, "retrieval": 0.5, "difference": gain}}},
        "diversity": {"dpp": [{"strength": 0.3, "ndcg": 0.275, "distance": 0.8123, "genres": 3.2}]},
        "ranker": {
            "importance": [{"group": "ease", "features": 7, "loss": gain}],
            "rules": {"text": "", "r_squared": 0.617, "rank_correlation": 0.8, "lists": 200},
            "lists": 400,
            "cutoff": 10,
        },
    }
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(*cascade_tables(result))
    lines = console.export_text().splitlines()
    assert any("served: retrieval's order" in line for line in lines)
    assert any("why it is so" in line for line in lines)
    assert any("positive liked alone" in line for line in lines)
    (of_task,) = (line for line in lines if "0.5312" in line)
    assert [cell.strip() for cell in of_task.strip("│ ").split("│")] == [
        "ndcg@1",
        "0.5312",
        "0.5000",
        "+0.0312 [-0.0045, +0.0678]",
    ]
    (of_group,) = (line for line in lines if "ease" in line)
    assert [cell.strip() for cell in of_group.strip("│ ").split("│")] == ["ease", "7", "+0.0312 [-0.0045, +0.0678]"]
    assert "rules in the report explain 62% of the scores' variance" in " ".join(" ".join(lines).split())
    (of_strength,) = (line for line in lines if "dpp 0.3" in line)
    assert of_strength.strip("│ ").replace(" ", "").split("│") == ["dpp0.3", "0.2750", "0.8123", "3.2000"]


def test_baselines_of_the_command_line_replace_those_of_the_file() -> None:
    names = ["--baselines", "ease", "svd"]
    assert parse(EvaluateArguments, "evaluate", names).resolved.evaluation.baselines.names == ("svd", "ease")
    every = parse(EvaluateArguments, "evaluate", ["--baselines", "all"]).resolved.evaluation.baselines.names
    assert every == get_args(BaselineName)
    assert parse(EvaluateArguments, "evaluate", []).resolved.evaluation == load_config(None).evaluation
