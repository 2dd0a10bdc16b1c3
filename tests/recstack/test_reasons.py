"""What a person reads of an explanation."""

import io
import math
from dataclasses import replace

from rich.console import Console

from recstack.reasons import as_json, reasons_table, shown_history
from serving.client import Explanation, Recommendation

HISTORY = {"h1": math.log(1.5), "h2": math.log(0.5), "h3": 0.0, "h4": 0.01, "h5": 0.02, "h6": -0.03, "h7": 0.04}
TITLES = {"a": "A Very Long Title: The Return of the Columns (1999)", "h1": "Short", "h7": "Another Very Long Title"}


def explanation(*, is_explored: bool = False) -> Explanation:
    features = {"score": math.log(2.0), "same_sum": math.log(3.0), "same_last": math.log(0.5), "request": 0.0}
    return Explanation(
        recommendation=Recommendation("a", 0.125, is_explored),
        baseline=math.log(0.125 / 3.0),
        features=dict.fromkeys(features, 0.0) if is_explored else features,
        groups={"score": "retrieval", "same_sum": "same_item", "same_last": "same_item", "request": "request"},
        history={} if is_explored else HISTORY,
    )


def printed(*explained: Explanation) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=80).print(reasons_table(explained, TITLES))
    return text.getvalue().splitlines()


def test_factors_of_groups_and_history_fit_in_80_columns() -> None:
    lines = printed(explanation())
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 80
    for wanted in ("0.125", "×3.00", "×2.00 retrieval", "×1.50 same_item", "×1.50 Short", "×0.50 h2"):
        assert wanted in text
    assert "request" not in text  # asked for nothing
    assert "h3" not in text  # contributes nothing


def test_many_reasons_are_cut_to_the_strongest_and_the_product_of_the_others() -> None:
    text = "\n".join(printed(explanation()))
    # A long title goes on in the next line: two that begin alike are told apart.
    assert "×1.04 Another Very" in text
    assert "Long Title" in text
    assert "×0.97 h6" in text
    assert f"×{math.exp(0.01 + 0.02):.2f} 2 more" in text
    assert shown_history([explanation()]) == {"h1", "h2", "h7", "h6"}


def test_small_scores_keep_their_exponent() -> None:
    small = replace(explanation(), recommendation=Recommendation("a", 0.00001234567))
    assert "1.235e-05" in "\n".join(printed(small))


def test_an_item_that_is_there_for_being_new_says_so() -> None:
    text = "\n".join(printed(explanation(is_explored=True)))
    assert "new" in text
    assert "retrieval" not in text


def test_a_program_gets_every_contribution() -> None:
    found = as_json(explanation())
    assert found["history"] == HISTORY
    groups = found["groups"]
    assert isinstance(groups, dict)
    assert math.isclose(groups["same_item"], math.log(1.5))
