import numpy as np
import pytest

from trainer.metrics.regression import regression_metrics, rmse_interval

LABELS = np.array([1.0, 2.0, 5.0])
PREDICTIONS = np.array([2.0, 2.0, 3.0])


def test_errors_are_weighted_means() -> None:
    found = regression_metrics(LABELS, PREDICTIONS, np.array([1.0, 1.0, 2.0]))
    assert found.rmse == pytest.approx(np.sqrt((1 * 1 + 2 * 4) / 4))
    assert found.mae == pytest.approx((1 + 2 * 2) / 4)
    assert found.mean_label == pytest.approx((1 + 2 + 2 * 5) / 4)
    assert found.mean_prediction == pytest.approx((2 + 2 + 2 * 3) / 4)
    assert found.num_examples == 3


def test_whole_weights_count_like_repetitions() -> None:
    times = np.array([1, 3, 2])
    weighted = regression_metrics(LABELS, PREDICTIONS, times.astype(float)).to_dict()
    repeated = regression_metrics(LABELS.repeat(times), PREDICTIONS.repeat(times)).to_dict()
    assert weighted | {"num_examples": 6} == pytest.approx(repeated)


def test_interval_holds_the_value_and_shrinks_with_examples() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=4000)

    def width(size: int) -> float:
        found = rmse_interval(np.zeros(size), noise[:size], resamples=200)
        assert found.low < found.value < found.high
        return found.high - found.low

    # The standard error falls with the root of the number of examples.
    assert width(4000) == pytest.approx(width(400) / np.sqrt(10), rel=0.4)
    assert rmse_interval(LABELS, LABELS, resamples=10).high == 0.0


@pytest.mark.parametrize(
    ("labels", "predictions", "weights"),
    [
        ([], [], None),
        ([1.0], [1.0, 2.0], None),
        ([1.0], [np.nan], None),
        ([np.inf], [1.0], None),
        ([1.0], [1.0], [0.0]),
    ],
)
def test_what_cannot_be_judged_is_refused(labels: list, predictions: list, weights: list | None) -> None:
    with pytest.raises(ValueError, match=r"must|expected"):
        regression_metrics(np.array(labels), np.array(predictions), None if weights is None else np.array(weights))
