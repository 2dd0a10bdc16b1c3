"""The parts of the cascade's report about the list ranker: feature importance, and its scores as rules."""

from collections.abc import Mapping
from html import escape
from typing import Any


def ranker_parts(result: Mapping[str, Any]) -> list[str]:
    """HTML of `ranker`, what `evaluate_cascade` knows of it; nothing where there is no validation split."""
    known = result["ranker"]
    return [] if known is None else [_importance(known), *_rules(known["rules"])]


def _importance(known: Mapping[str, Any]) -> str:
    body = (
        f"<tr><td>{escape(row['group'])}</td><td>{row['features']}</td><td>{row['loss']['value']:+.4f}<br>"
        f"<small>{row['loss']['low']:+.4f} to {row['loss']['high']:+.4f}</small></td></tr>"
        for row in known["importance"]
    )
    # What a version before this one measured has no meanings.
    meanings = "".join(
        f"<li><b>{escape(row['group'])}</b>: {escape(row['meaning'])}</li>"
        for row in known["importance"]
        if "meaning" in row
    )
    head = f"<tr><th></th><th>features</th><th>NDCG@{known['cutoff']} lost</th></tr>"
    return (
        "<h2>Feature importance of the list ranker</h2><p>NDCG that is lost on "
        f"{known['lists']:,} lists of the validation split when the candidates of a list exchange the values of one "
        "group of features, with bootstrap intervals over users.</p>"
        f"<table>{head}{''.join(body)}</table><ul>{meanings}</ul>"
    )


def _rules(rules: Mapping[str, Any] | None) -> list[str]:
    if rules is None:
        return []
    return [
        "<h2>The list ranker as rules</h2><p>A tree of depth four, fitted to the ranker's scores. Features are in "
        "standard deviations from the mean of the list's candidates, scores are logits less the list's mean. On "
        f"{rules['lists']:,} lists of other users the rules explain {rules['r_squared']:.0%} of the scores' variance; "
        f"the mean rank correlation of a list is {rules['rank_correlation']:.2f}.</p><pre>{escape(rules['text'])}</pre>"
    ]
