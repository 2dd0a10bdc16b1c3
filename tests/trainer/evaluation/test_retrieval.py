"""What an evaluation of retrieval refuses."""

import shutil
from pathlib import Path

import pytest

from features.disk.layout import DatasetLayout
from features.errors import InputError
from tests.trainer.small_dataset import NUM_USERS, SCHEMA, course, record, write_records
from trainer.config.evaluation import EvaluationConfig
from trainer.data.encoded_dataset import encode_dataset
from trainer.evaluation.retrieval import load_data
from trainer.restore import Trained


@pytest.mark.slow
def test_a_split_without_anything_to_predict_is_refused_by_name(small_dataset: DatasetLayout, tmp_path: Path) -> None:
    layout = DatasetLayout(tmp_path / "dataset")
    shutil.copytree(small_dataset.root, layout.root)
    shutil.rmtree(layout.interactions("test"))
    context_only = [record(user, course(user), range(6), num_context=6) for user in range(NUM_USERS)]
    write_records(layout.interactions("test"), context_only)
    dataset = encode_dataset(SCHEMA, layout)
    trained = Trained(encoder=dataset.encoder, model=None, candidates=dataset.candidates)
    with pytest.raises(InputError, match=r"test: no event to predict.*\[pipeline.split\]"):
        load_data(trained, layout, EvaluationConfig(split="test"))
    assert load_data(trained, layout, EvaluationConfig(split="validation")).judged
