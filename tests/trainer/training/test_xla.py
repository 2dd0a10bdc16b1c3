"""Steps that XLA compiles follow the gradient that others follow, but for the order of sums in float32."""

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer.small_dataset import SCHEMA
from tests.trainer.test_stage import RETRIEVAL, context, item_vectors
from tests.trainer.training.test_two_devices import TOLERANCE, largest_difference
from tests.trainer.training.two_devices import STAGES, gradients
from trainer.config.negatives import PopularConfig, UniformConfig
from trainer.config.training import OptimizerConfig, TrainingConfig
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.inputs import stage_inputs

XLA = TrainingConfig(xla=True)
# XLA draws other numbers, so that draws are of the whole catalogue here.
_ALL = 1000
COMPILED = {name: STAGES[name] for name in ("in_batch", "all", "content", "ensemble", "ranking")} | {
    kind: replace(STAGES[kind], config=replace(STAGES[kind].config, negatives=negatives))
    for kind, negatives in (
        ("uniform", UniformConfig(num_negatives=_ALL)),
        ("popular", PopularConfig(num_negatives=_ALL)),
    )
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_gradients_are_those_without_xla(small_dataset, tmp_path, name):
    expected = gradients(context(small_dataset, tmp_path / "expected"), COMPILED[name])
    found = gradients(context(small_dataset, tmp_path / "found", training=XLA), COMPILED[name])
    assert largest_difference(found, expected) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["row_wise_adam", "row_wise_adagrad"])
def test_tables_are_updated_by_rows_as_without_xla(small_dataset, tmp_path, kind):
    config = replace(RETRIEVAL, epochs=2, optimizer=OptimizerConfig(kind=kind, learning_rate=0.03))
    for name, training in (("found", XLA), ("expected", TrainingConfig())):
        train_stage(context(small_dataset, tmp_path / name, training=training), RetrievalStage(config=config))
    found, expected = (item_vectors(small_dataset, tmp_path / name, config) for name in ("found", "expected"))
    # Both optimizers divide small gradients by their size, so that rounding grows.
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.ptp(expected) > 0.1


def test_xla_is_part_of_what_a_run_is_known_by(small_dataset):
    stage = RetrievalStage(config=RETRIEVAL)
    without, with_xla = (
        stage_inputs(stage, SCHEMA, small_dataset, 0, "", training) for training in (TrainingConfig(), XLA)
    )
    assert with_xla == without | {"compiler": "xla"}
