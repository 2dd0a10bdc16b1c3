"""The pages for people fit a desktop and a phone, and need nothing from elsewhere: looked at by Chromium, offline."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from features.disk.layout import RetrainingLayout
from recstack.config import StackConfig
from recstack.retraining.gate.decision import Decision
from recstack.retraining.gate.table import judge
from recstack.retraining.report import write_retraining_report
from recstack.retraining.run_details import write_run_report
from recstack.retraining.samples import Samples, SampleUser
from tests.recstack.retraining.evidence import FACTS, GATE, RECORD, evidence
from tests.servers.ledger import missing, report
from trainer.evaluation.html import write_cascade_report

pytestmark = pytest.mark.slow

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
TITLES = {
    "85123A": "WHITE HANGING HEART T-LIGHT HOLDER",
    "22423": "REGENCY CAKESTAND 3 TIER",
    "47566": "PARTY BUNTING",
    "20725": "LUNCH BAG RED RETROSPOT",
    "long": "A-TITLE-WITHOUT-ANY-SPACE-" * 6,
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        missing("chromium", "no chromium on this machine")
    with sync_playwright() as playwright:
        # As root there is no sandbox; the pages are our own.
        found = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        report("chromium", found.version)
        yield found
        found.close()


def retraining(folder: Path) -> Path:
    """A refused night with sample users, one of them with titles of an impossible length."""
    layout = RetrainingLayout(folder)
    layout.root.mkdir(parents=True)
    user = SampleUser(
        name="13047", history=("22423", "47566"), wanted=("20725",), before=tuple(TITLES)[:4], after=tuple(TITLES)[1:]
    )
    users = (user, replace(user, name="<b>17850</b>", history=(), before=()))
    Samples(model="recommender", users=users, titles=TITLES).write(layout.samples)
    checks = tuple(judge(evidence(data=replace(FACTS, items=7)), GATE))
    decision = Decision(inputs={}, live={"retrieval": "a"}, queries=8, checks=checks)
    write_retraining_report(layout, replace(RECORD, outcome="refused", refused_by=("data",)), decision)
    return layout.report


def cascade_result(retrieval: dict[str, Any]) -> dict[str, Any]:
    """An evaluation of the cascade with many item features and with rules of long lines."""
    gain = {"value": 0.03, "low": -0.01, "high": 0.07}
    features = {f"attribute_{number}": 2.5 for number in range(9)}
    importance = [{"group": name, "features": 7, "loss": gain, "meaning": "What it is."} for name in features]
    rules = {"text": "|--- " + "a_long_name " * 20, "r_squared": 0.6, "rank_correlation": 0.8, "lists": 200}
    return retrieval | {
        "ranks": True,
        "reason": "told so",
        "by_label": {"liked": {"ndcg@2": {"cascade": 0.5, "retrieval": 0.5, "difference": gain}}},
        "diversity": {"mmr": [{"strength": 0.0, "ndcg": 0.3, "distance": 0.5, **features}]},
        "ranker": {"importance": importance, "rules": rules, "lists": 400, "cutoff": 10},
    }


@pytest.fixture
def pages(checkerboard: StackConfig, tmp_path: Path) -> dict[str, Path]:
    """Every kind of report."""
    stack = replace(checkerboard, workdir=tmp_path / "work")
    shutil.copytree(checkerboard.layout.runs.root, stack.layout.runs.root)
    run = stack.layout.current_run
    retrieval = json.loads(run.stage("retrieval").metrics.read_text())
    write_cascade_report(cascade_result(retrieval), tmp_path / "cascade.html")
    return {
        "cascade": tmp_path / "cascade.html",
        "run": write_run_report(stack.layout, run, None),
        "retraining": retraining(tmp_path / "0a1b"),
        "dataset": checkerboard.layout.dataset.report,
        "retrieval": run.stage("retrieval").report,
        "ranking": run.stage("ranking").report,
    }


@pytest.mark.parametrize("name", ["retraining", "run", "dataset", "retrieval", "ranking", "cascade"])
@pytest.mark.parametrize("size", SIZES)
def test_a_report_fits_the_screen_and_loads_nothing(
    browser: Browser, pages: dict[str, Path], tmp_path: Path, name: str, size: str
) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    page, asked, troubles = context.new_page(), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(pages[name].as_uri())
    page.screenshot(path=tmp_path / f"{name}-{size}.png", full_page=True)
    shown = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert shown == [width, width]
    assert [url for url in asked if not url.startswith("data:")] == [pages[name].as_uri()]
    assert troubles == []
    # What is drawn is drawn inside the page: pictures have a size, and headings are not cut off.
    assert page.evaluate("[...document.querySelectorAll('img, svg')].every(each => each.clientWidth > 50)")
    edges = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3, p, li')].map(e => e.getBoundingClientRect().right)"
    )
    assert max(edges) <= width
    context.close()


def test_lists_stand_side_by_side_where_there_is_room(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(retraining(tmp_path / "0a1b").as_uri())
    lefts = "[...document.querySelectorAll('.lists ol')].map(each => each.getBoundingClientRect().left)"
    before, after = page.evaluate(lefts)
    assert before + 300 < after
    page.set_viewport_size({"width": 390, "height": 844})
    before, after = page.evaluate(lefts)
    assert before == after
    assert page.locator("li mark").all_inner_texts() == ["LUNCH BAG RED RETROSPOT"] * 3
    assert page.locator("h3").all_inner_texts() == ["13047", "<b>17850</b>"]
    page.close()
