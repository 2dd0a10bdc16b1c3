from pathlib import Path

import pytest

from features.encoding.statistics import NumericStatistics, Statistics
from features.errors import InputError


def test_write_then_read(tmp_path: Path) -> None:
    numeric = NumericStatistics(count=2, missing=1, mean=0.1, std=0.3, minimum=-1, maximum=1, quantiles=(0.0, 0.5))
    statistics = Statistics(num_users=1, num_items=2, num_interactions=3, numeric={"price": numeric})
    statistics.write(tmp_path / "statistics.json")
    assert Statistics.read(tmp_path / "statistics.json") == statistics


@pytest.mark.parametrize("text", ["", "{", '{"num_users": 1}', '{"num_users": "x"}'])
def test_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "statistics.json"
    path.write_text(text)
    with pytest.raises(InputError):
        Statistics.read(path)
