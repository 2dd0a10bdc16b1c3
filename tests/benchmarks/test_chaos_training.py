"""The benchmark that kills trainings, with a few kills: their last validation is that of undisturbed ones."""

import pytest
from chaos_training import Arguments, trained

FEW = Arguments(events=5_000, epochs=40)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(1, 3), (2, 2)])
def test_killed_trainings_end_as_undisturbed_ones(tmp_path, workers, kills):
    calm, shaken = (trained(tmp_path / str(times), workers, times, FEW) for times in (0, kills))
    assert (calm.kills, shaken.kills) == (0, kills)
    # The sums of two processes may come in another order; a lost or repeated step would show in the third decimal.
    assert shaken.metric == pytest.approx(calm.metric, abs=0.0 if workers == 1 else 1e-3)
