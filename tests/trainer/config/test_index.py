import subprocess
import sys

import pytest

from features.errors import ConfigError
from features.serialization import structure
from trainer.config.index import INDEXES, AutoConfig, ExactConfig, IndexConfig, ScannHashConfig, ScannTreeConfig


@pytest.mark.parametrize(
    ("num_items", "kind"),
    [(1, "exact"), (19_999, "exact"), (20_000, "scann_hash"), (99_999, "scann_hash"), (100_000, "scann_tree")],
)
def test_auto_follows_the_catalogue_size(num_items, kind):
    assert INDEXES.name_of(AutoConfig().for_catalogue(num_items)) == kind


def test_the_chosen_kind_has_the_options_that_were_given():
    chosen = AutoConfig(tuned_k=50, target_recall=0.9, num_leaves=7)
    assert chosen.for_catalogue(10) == ExactConfig(tuned_k=50)
    assert chosen.for_catalogue(50_000) == ScannHashConfig(tuned_k=50, target_recall=0.9)
    assert chosen.for_catalogue(500_000) == ScannTreeConfig(tuned_k=50, target_recall=0.9, num_leaves=7)


def test_a_named_kind_is_kept_whatever_the_size():
    assert ScannTreeConfig().for_catalogue(10) == ScannTreeConfig()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target_recall", 0.0),
        ("target_recall", 1.1),
        ("anisotropic_threshold", 1.0),
        ("tuned_k", 0),
        ("num_leaves", 0),
        ("training_items", -1),
    ],
)
def test_a_value_out_of_range_is_named(field, value):
    with pytest.raises(ConfigError, match=f"index.{field} = {value!r}"):
        AutoConfig(**{field: value})


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("auto", "int8"),
        ("scann_brute_force", "int8"),
        ("exact", "int8"),
        ("scann_hash", "bfloat16"),
        ("scann_tree", "half"),
    ],
)
def test_precision_must_fit_the_kind(kind, precision):
    with pytest.raises(ConfigError, match=f"index.precision = '{precision}'"):
        structure({"kind": kind, "precision": precision}, IndexConfig, "index")


def test_config_and_report_import_no_tensorflow():
    code = "import sys, trainer.config.index, trainer.index.report; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
