import subprocess
import sys

import pytest

from features.errors import ConfigError
from trainer.config.index import IndexConfig


@pytest.mark.parametrize(
    ("num_items", "kind"),
    [(1, "exact"), (19_999, "exact"), (20_000, "scann_hash"), (99_999, "scann_hash"), (100_000, "scann_tree")],
)
def test_auto_follows_the_catalogue_size(num_items, kind):
    assert IndexConfig().kind_for(num_items) == kind


def test_a_named_kind_is_kept_whatever_the_size():
    assert IndexConfig(kind="scann_tree").kind_for(10) == "scann_tree"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target_recall", 0.0),
        ("target_recall", 1.1),
        ("anisotropic_threshold", 1.0),
        ("tuned_k", 0),
        ("num_leaves", 0),
        ("training_items", -1),
        ("precision", "int8"),
        ("precision", "bfloat16"),
    ],
)
def test_a_value_out_of_range_is_named(field, value):
    with pytest.raises(ConfigError, match=f"index.{field} = {value!r}"):
        IndexConfig(**{field: value})


def test_precision_must_fit_the_kind():
    assert IndexConfig(kind="exact", precision="bfloat16").precision == "bfloat16"
    assert IndexConfig(kind="scann_hash", precision="int8").precision == "int8"
    with pytest.raises(ConfigError, match="float32"):
        IndexConfig(kind="scann_hash", precision="bfloat16")


def test_config_and_report_import_no_tensorflow():
    code = "import sys, trainer.config.index, trainer.index.report; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
