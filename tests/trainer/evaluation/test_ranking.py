"""Sampled negatives are judged as what they stand for: the rates are those of the data, not of the sample."""

from math import log
from pathlib import Path
from typing import Any

import pytest

from features.disk.layout import DatasetLayout
from features.encoding.schema_encoder import SchemaEncoder
from tests.trainer.small_dataset import NUM_ITEMS, SCHEMA, record, write_learnt_parts, write_records
from trainer.config.evaluation import EvaluationConfig
from trainer.config.ranking import RankingConfig
from trainer.data.catalogue import load_catalogue
from trainer.data.labelled_pairs import LabelMoments
from trainer.evaluation.ranking import evaluate_ranking
from trainer.ranking.model import RankingModel
from trainer.restore import Trained

# One positive event a user beside one negative that was drawn with one chance in nine.
PROBABILITY, RATE = 1 / 9, 1 / 10


@pytest.fixture
def dataset(tmp_path: Path) -> DatasetLayout:
    layout = DatasetLayout(tmp_path)
    records = [record(user, [2, 3], [1, 2], labels=[1.0, 0.0], sampled_with=PROBABILITY) for user in range(8)]
    for split in ("train", "test"):
        write_records(layout.ranking(split), records)
    write_learnt_parts(layout, dict.fromkeys(range(NUM_ITEMS), 1))
    return layout


@pytest.fixture
def found(dataset: DatasetLayout) -> dict[str, Any]:
    """The evaluation of a model without training, which says the share of positives whatever it is asked."""
    encoder = SchemaEncoder(SCHEMA, dataset)
    candidates = load_catalogue(dataset, encoder)
    model = RankingModel(
        RankingConfig(dimension=2), encoder, candidates, seed=0, label_moments=[LabelMoments(mean=RATE)]
    )
    trained = Trained(encoder=encoder, model=model, candidates=candidates)
    return evaluate_ranking(trained, dataset, EvaluationConfig())["tasks"]["label"]


def test_log_loss_and_calibration_are_those_of_the_data(found: dict[str, Any]) -> None:
    assert found["model"]["num_examples"] == 16
    assert found["model"]["positive_rate"] == pytest.approx(RATE)
    assert found["model"]["log_loss"] == pytest.approx(-(RATE * log(RATE) + (1 - RATE) * log(1 - RATE)), rel=1e-5)
    assert found["model"]["predicted_to_actual"] == pytest.approx(1, rel=1e-5)
    assert found["model"]["calibration_error"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_the_item_mean_is_that_of_the_data(found: dict[str, Any]) -> None:
    mean = found["baselines"]["item_mean"]
    # Weights of mean one: 16 events weigh 16, the eight positives 1.6 of them, drawn towards the rate by ten events.
    liked, other = (1.6 + 10 * RATE) / (1.6 + 10), 10 * RATE / (14.4 + 10)
    assert mean["log_loss"] == pytest.approx(-(RATE * log(liked) + (1 - RATE) * log(1 - other)), rel=1e-5)
    assert mean["auc"] == 1.0


@pytest.mark.slow
def test_the_difference_to_a_baseline_is_that_of_their_log_losses(found: dict[str, Any]) -> None:
    difference = found["baselines"]["item_mean"]["difference"]
    expected = found["model"]["log_loss"] - found["baselines"]["item_mean"]["log_loss"]
    assert difference["value"] == pytest.approx(expected, rel=1e-5)
    # Every user has the same two events, so no resample of users changes it.
    assert difference["low"] == pytest.approx(expected, rel=1e-5)
    assert difference["high"] == pytest.approx(expected, rel=1e-5)
    assert "difference" not in found["model"]
