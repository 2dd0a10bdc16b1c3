"""The commands of `examples/datasets.md` on tables in the form of the data sets that they are for."""

import json
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from beam_pipelines.prepare import prepare_dataset
from features.disk.layout import DatasetLayout
from features.schema import Schema
from recstack.__main__ import main
from recstack.config import StackConfig, load_config
from recstack.local_server import local_server
from tests.recstack.init import public_forms
from tests.recstack.init.public_forms import NUM_EVENTS, NUM_ITEMS, events

_PAGE = Path(__file__).parents[3] / "examples" / "datasets.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PLAYED = sum(rating > 2 for _, _, rating, _ in events())


@dataclass(frozen=True, kw_only=True)
class Form:
    """What `init` makes of a form."""

    function: str
    """Of `public_forms`."""
    roles: str
    """Columns of user, item and time."""
    label: str = ""
    """Column of the rating or of the kind of event."""
    query: str = ""
    """Features of the query beside the user and the history, with their kinds."""
    items: str = ""
    """Features of items beside the item, with their kinds."""
    rows: int = NUM_EVENTS
    """Of the log."""


_FLAGS = (
    *("unknown", "action", "adventure", "animation", "children", "comedy", "crime", "documentary", "drama", "fantasy"),
    *("film_noir", "horror", "musical", "mystery", "romance", "sci_fi", "thriller", "war", "western"),
)
FORMS = {
    "MovieLens 100k": Form(
        function="movielens_100k",
        roles="user_id item_id timestamp",
        label="rating",
        query="age:numeric gender:categorical occupation:categorical",
        items=f"title:text {' '.join(f'{flag}:categorical' for flag in _FLAGS)}",
    ),
    "MovieLens 1M": Form(
        function="movielens_1m",
        roles="user_id movie_id timestamp",
        label="rating",
        query="gender:categorical age:numeric occupation:categorical",
        items="title:text genres:multi_valued",
    ),
    "MovieLens latest": Form(
        function="movielens_latest",
        roles="userId movieId timestamp",
        label="rating",
        items="title:text genres:multi_valued",
    ),
    "Book-Crossing": Form(
        function="book_crossing",
        roles="User-ID ISBN row-order",
        label="Book-Rating",
        query="age:numeric",
        items="book_title:text book_author:categorical year_of_publication:numeric publisher:categorical",
    ),
    "Last.fm (HetRec 2011)": Form(function="lastfm_hetrec", roles="userID artistID row-order", items="name:text"),
    "goodbooks-10k": Form(
        function="goodbooks",
        roles="user_id book_id row-order",
        label="rating",
        items="books_count:numeric authors:multi_valued original_publication_year:numeric title:text "
        "language_code:categorical average_rating:numeric ratings_count:numeric",
    ),
    "RetailRocket": Form(
        function="retail_rocket",
        roles="visitorid itemid timestamp",
        label="event",
        query="history_event_types:history_event_types",
        items="categoryid:categorical",
    ),
    "REES46 (eCommerce behaviour)": Form(
        function="rees46",
        roles="user_id product_id event_time",
        label="event_type",
        query="history_event_types:history_event_types",
        items="category_id:categorical category_code:categorical brand:categorical price:numeric",
    ),
    "Instacart": Form(
        function="instacart",
        roles="user_id product_id order_number",
        items="product_name:text aisle_id:categorical department_id:categorical",
    ),
    "MIND": Form(
        function="mind",
        roles="user_id impressions time",
        label="clicked",
        items="category:categorical subcategory:categorical title:text abstract:text",
    ),
    "KuaiRec": Form(
        function="kuairec",
        roles="user_id video_id timestamp",
        query="user_active_degree:categorical register_days:numeric onehot_feat0:categorical onehot_feat1:categorical",
        items="feat:multi_valued",
    ),
    "Amazon reviews 2014": Form(
        function="amazon_2014",
        roles="reviewerID asin unixReviewTime",
        label="overall",
        items="title:text price:numeric salesrank_books:numeric brand:categorical categories:multi_valued",
    ),
    "Amazon reviews 2018": Form(
        function="amazon_2018",
        roles="reviewerID asin unixReviewTime",
        label="overall",
        items="category:multi_valued description:multi_valued title:text brand:categorical rank:text price:numeric",
    ),
    "Amazon reviews 2023": Form(
        function="amazon_2023",
        roles="user_id parent_asin timestamp",
        label="rating",
        items="title:text average_rating:numeric rating_number:numeric features:multi_valued price:numeric "
        "store:categorical categories:multi_valued details_pages:numeric",
    ),
    "Steam reviews": Form(
        function="steam",
        roles="username product_id date",
        query="products:numeric",
        items="publisher:categorical genres:multi_valued app_name:text title:text tags:multi_valued "
        "developer:categorical",
    ),
    "Steam 200k": Form(
        function="steam_200k",
        roles="user_id game row-order",
        label="behavior",
        query="history_event_types:history_event_types",
        rows=NUM_EVENTS + _PLAYED,
    ),
    "RecBole's atomic files": Form(
        function="recbole",
        roles="user_id:token item_id:token timestamp:float",
        label="rating:float",
        query="age:numeric gender:categorical",
        items="movie_title:text release_year:numeric class:multi_valued",
    ),
    "Criteo": Form(function="criteo", roles="C1 C2 row-order", label="label"),
}
_TO_QUERY = ("MovieLens 1M", "Book-Crossing", "REES46 (eCommerce behaviour)", "MIND", "Amazon reviews 2023")


def blocks_of(section: str) -> list[tuple[str, str]]:
    """Language and text of the blocks of a section of the page."""
    _, _, rest = _PAGE.read_text().partition(f"\n## {section}\n")
    found = _BLOCK.findall(rest.partition("\n## ")[0])
    assert found, section
    return found


def run_page(section: str) -> StackConfig:
    """What the page says, in the current folder."""
    for language, text in blocks_of(section):
        if language == "python":
            exec(text, {})
        else:
            recstack, *arguments = shlex.split(text.replace("\\\n", " "))
            assert recstack == "recstack"
            assert main(arguments) == 0
    return load_config(Path("recstack.toml"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kinds(schema: Schema, side: str) -> str:
    features = {"query": schema.query, "candidate": schema.candidate}[side]
    own = ("user_id", "item_id", "history")
    return " ".join(f"{feature.name}:{feature.kind}" for feature in features if feature.name not in own)


def test_every_section_of_the_page_is_run() -> None:
    assert re.findall(r"^## (.*)$", _PAGE.read_text(), re.MULTILINE) == list(FORMS)


@pytest.mark.parametrize("section", FORMS)
@pytest.mark.slow
def test_one_command_describes_the_form(folder: Path, section: str) -> None:
    form = FORMS[section]
    getattr(public_forms, form.function)(folder)
    stack = run_page(section)
    events, label = stack.pipeline.interactions, stack.pipeline.label
    time = events.timestamp_format if events.timestamp_format == "row-order" else events.column("timestamp")
    assert f"{events.column('user_id')} {events.column('item_id')} {time}" == form.roles
    assert (label.rating_column or label.event_type_column or "") == form.label
    assert kinds(stack.features, "query") == form.query
    assert kinds(stack.features, "candidate") == form.items
    config = replace(stack.pipeline, report=False)
    counts = prepare_dataset(stack.features, config, DatasetLayout(folder / "dataset"), seed=1).manifest.counts
    shown = len(re.findall(r"N\d+-[01]", (folder / "behaviors.tsv").read_text())) if section == "MIND" else 0
    assert counts["interactions_read"] == (shown or form.rows)
    assert counts["candidates"] == NUM_ITEMS
    assert [key for key in counts if key.startswith("rejected")] == []


@pytest.mark.slow
@pytest.mark.parametrize("section", _TO_QUERY)
def test_a_form_goes_from_its_files_to_an_answer(
    folder: Path, capsys: pytest.CaptureFixture[str], section: str
) -> None:
    form = FORMS[section]
    getattr(public_forms, form.function)(folder)
    stack = run_page(section)
    short = ("--retrieval.epochs", "2", "--ranking.epochs", "2")
    for verb, options in (("prepare", ()), ("train", short), ("evaluate", short), ("export", short)):
        assert main([verb, "--config", "recstack.toml", *options]) == 0
    with local_server([f"--model_config_file={stack.layout.model_config}"], folder / "server.log") as address:
        for user in ("1", "U1"):
            capsys.readouterr()
            asked = ["query", "--config", "recstack.toml", "--user", user, "--address", address, "--timeout", "60"]
            assert main([*asked, "--json"]) == 0
            items = json.loads(capsys.readouterr().out)["items"]
            assert len({item["item_id"] for item in items}) == len(items) > 0
