import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from features.errors import ConfigError, InputError
from recstack.config import StackConfig, load_config, parse_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))

MINIMAL = """
[[features.query]]
kind = "history"

[[features.candidate]]
kind = "id"
name = "item_id"
"""


def test_embedded_configuration_is_the_demo() -> None:
    stack = load_config(None)
    assert stack == load_config(Path(__file__).parents[2] / "configs" / "movielens.toml")
    assert stack.pipeline.interactions.format == "movielens"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_load(path: Path) -> None:
    assert isinstance(load_config(path), StackConfig)


_IN_ANY_LOCALE = """
import locale, sys
from pathlib import Path
from features.disk.manifest import Manifest, read_manifest
from recstack.config import load_config, parse_config

folder = Path(sys.argv[1])
assert locale.getpreferredencoding(False) != "UTF-8"
assert load_config(None).pipeline.interactions.format == "movielens"
stack = load_config(folder / "stack.toml")
assert stack.pipeline.interactions.columns["item_id"] == "Städte"
Manifest(kind="dataset", schema_fingerprint="", inputs={}, config={"city": "Städte"}).write(folder / "manifest.json")
assert read_manifest(folder / "manifest.json", "dataset").config["city"] == "Städte"
"""


def test_files_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(
        MINIMAL + "[pipeline.interactions]\npath = 'x.csv'\n[pipeline.interactions.columns]\nitem_id = 'Städte'\n",
        "utf-8",
    )
    (tmp_path / "script.py").write_text(_IN_ANY_LOCALE, "utf-8")
    plain = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=plain, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", [MINIMAL, *(path.read_text("utf-8") for path in CONFIGS)])
def test_printed_configuration_is_the_same_configuration(text: str) -> None:
    stack = parse_config(text)
    assert parse_config(stack.to_toml()) == stack
    assert parse_config(stack.to_toml()).to_toml() == stack.to_toml()


@pytest.mark.parametrize(
    ("addition", "words"),
    [
        ("[retrieval]\nbatch_sise = 7", ["retrieval.batch_sise = 7", "batch_size"]),
        ("[retrieval]\nbatch_size = 0", ["retrieval.batch_size = 0", "at least 1"]),
        ("[retrieval]\nvalidation_queries = 0", ["retrieval.validation_queries = 0", "at least 1"]),
        ("[retrieval]\nbatch_size = 'x'", ["retrieval.batch_size = 'x'", "int"]),
        ("[retrieval.negatives]\nkind = 'some'", ["retrieval.negatives.kind = 'some'", "in_batch"]),
        ("[retrieval.encoder]\nkind = 'gru'\nheads = 2", ["retrieval.encoder.heads = 2", "kind 'gru'", "layers"]),
        ("[retrieval.encoder]\ndropout = 1.0", ["retrieval.encoder.dropout = 1.0", "a share"]),
        ("[retrieval]\nensemble = ['gru']", ["retrieval.ensemble[0] = 'gru'", "a table"]),
        ("[pipeline.split]\nkind = 'random'", ["pipeline.split.kind", "'global_time'"]),
        ("[pipeline.interactions]\npth = 'x'", ["pipeline.interactions.pth"]),
        ("[[features.query]]\nkind = 'colour'\nname = 'x'", ["features.query[1].kind = 'colour'", "categorical"]),
        ("[export]\nretrieval_k = 0", ["export.retrieval_k", "at least 1"]),
        ("[export]\nrecommender_limit = 500", ["export.recommender_limit", "recommender_candidates"]),
        ("[export]\nmodels = []", ["export.models", "retrieval"]),
        ("[evaluation]\nconfidence = 1.0", ["evaluation.confidence"]),
        ("[evaluation]\ncutoffs = []", ["evaluation.cutoffs"]),
        ("colour = 'red'", ["colour = 'red'", "workdir"]),
        ("seed = 1.5", ["seed = 1.5", "int"]),
        ("seed = -1", ["seed = -1", "0 to 4294967295"]),
        ("seed = 99999999999999999999", ["seed = 99999999999999999999", "64 bits"]),
        ("[evaluation]\ncutoffs = '10'", ["evaluation.cutoffs = '10'", "a list"]),
        ("[[pipeline.label]]\nthreshold = 3.0", ["pipeline.label = [", "a table"]),
        ("[ranking.optimizer]\nlearning_rate = inf", ["ranking.optimizer.learning_rate = inf", "positive"]),
    ],
)
def test_bad_field_is_named_with_value_and_expectation(addition: str, words: list[str]) -> None:
    # Top-level keys have to stand before the first table.
    text = f"{addition}\n{MINIMAL}" if "[" not in addition else f"{MINIMAL}\n{addition}"
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("addition", "field"),
    [
        ('examples = "basket"\nrepeat = 1.0\n[evaluation]\nexclude_seen = false', "retrieval.repeat = 1.0"),
        ('examples = "sequence"', "retrieval.examples = 'sequence'"),
    ],
)
def test_what_needs_a_history_is_refused_without_one(addition: str, field: str) -> None:
    with_history = f"{MINIMAL}\n[retrieval]\n{addition}"
    parse_config(with_history)
    with pytest.raises(ConfigError, match=r"kind \"history\"") as caught:
        parse_config(with_history.replace('kind = "history"', 'kind = "id"\nname = "user_id"'))
    assert field in str(caught.value)


def test_scores_of_items_of_the_history_are_refused_where_these_are_left_out() -> None:
    text = f'{MINIMAL}\n[retrieval]\nexamples = "basket"\nrepeat = 1.0\n[evaluation]\nexclude_seen = '
    assert parse_config(f"{text}false").retrieval.repeat == 1.0
    with pytest.raises(ConfigError, match=r"retrieval\.repeat = 1\.0.*exclude_seen = false"):
        parse_config(f"{text}true")


def test_file_without_features_says_which_tables_are_missing() -> None:
    with pytest.raises(ConfigError, match=r"features\.query"):
        parse_config("seed = 1")


@pytest.mark.parametrize("text", ["seed =", "[[features", "\x00"])
def test_text_that_is_not_toml_is_a_clear_error(text: str) -> None:
    with pytest.raises(InputError, match="not TOML"):
        parse_config(text, "file.toml")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")


def test_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(MINIMAL, "utf-8-sig")
    assert load_config(tmp_path / "stack.toml") == parse_config(MINIMAL)


def test_embedded_file_is_plain_toml() -> None:
    tomllib.loads(load_config(None).to_toml())


def test_configuration_in_the_readme_loads() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    (text,) = (block.split("```")[0] for block in readme.split("```toml")[1:])
    assert parse_config(text).pipeline.interactions.column("user_id") == "customer"


def test_workdir_that_tensorflow_would_read_as_a_pattern_is_refused() -> None:
    with pytest.raises(ConfigError, match="workdir = 'shop \\[b\\]'"):
        parse_config('workdir = "shop [b]"\n' + MINIMAL)
