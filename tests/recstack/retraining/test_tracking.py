"""Retrainings are logged to a real MLflow store, once each, and never at the price of the night."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from features.errors import RecstackError
from recstack.config import StackConfig, load_config
from recstack.retraining import tracking
from recstack.retraining.config import MLflowConfig, RetrainConfig
from recstack.retraining.gate.decision import Decision
from recstack.retraining.gate.table import judge
from recstack.retraining.tracking import RETRAINING_TAG, log_retraining, require_mlflow
from tests.recstack.retraining.evidence import FACTS, GATE, RECORD, evidence

pytestmark = [
    pytest.mark.slow,
    # MLflow's own, towards SQLAlchemy.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]

REFUSED = replace(RECORD, outcome="refused", refused_by=("data",))


def logging_to(uri: str, folder: Path) -> StackConfig:
    """The demo's configuration, with a run of which retrieval is evaluated."""
    mlflow = MLflowConfig(tracking_uri=uri, experiment="shop")
    stack = replace(load_config(None), workdir=folder / "work", retrain=RetrainConfig(mlflow=mlflow))
    stage = stack.layout.runs.run(RECORD.run).stage("retrieval")
    stage.manifest.parent.mkdir(parents=True)
    stage.manifest.write_text("{}")
    stage.metrics.write_text(json.dumps({"model": {"metrics": {"ndcg@10": {"value": 0.25}}}}))
    return stack


def test_a_night_is_one_run_with_its_settings_metrics_and_verdicts(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    stack = logging_to(uri, tmp_path)
    layout = stack.layout.retrainings.retraining(RECORD.id)
    decision = Decision(
        inputs={}, live={}, queries=8, checks=tuple(judge(evidence(data=replace(FACTS, items=7)), GATE))
    )
    log_retraining(stack, layout, REFUSED, decision)
    forced = replace(REFUSED, outcome="published", forced="new shop", published={"retrieval": 2})
    log_retraining(stack, layout, forced, decision)  # the same night, gone on with
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 600_000
    assert run.data.params["retrieval.batch_size"] == str(stack.retrieval.batch_size)
    assert not [name for name in run.data.params if "mlflow" in name]
    assert run.data.metrics == {"retrieval/ndcg_at_10": 0.25, "seconds/train": 83.25, "seconds/gate": 12.0}
    tags = run.data.tags
    assert (tags[RETRAINING_TAG], tags["recstack.outcome"], tags["recstack.forced"]) == (
        "0a1b",
        "published",
        "new shop",
    )
    assert "refused: items of the catalogue, of the live model's 0.7, at least 0.8" in tags["gate.data"]
    assert {name for name in tags if name.startswith("gate.")} == {f"gate.{check.rule}" for check in decision.checks}


def test_without_an_address_nothing_is_logged(tmp_path: Path) -> None:
    stack = logging_to("", tmp_path)
    log_retraining(stack, stack.layout.retrainings.retraining(RECORD.id), REFUSED, None)
    assert list(tmp_path.iterdir()) == [tmp_path / "work"]


def test_a_server_that_is_down_gives_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    stack = logging_to("http://127.0.0.1:9", tmp_path)
    with pytest.raises(RecstackError, match=r"^MLflow at http://127.0.0.1:9: .*$") as error:
        log_retraining(stack, stack.layout.retrainings.retraining(RECORD.id), REFUSED, None)
    assert "\n" not in str(error.value)


def test_a_missing_mlflow_is_told_before_the_night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecstackError, match=r"pip install 'recstack\[mlflow\]'"):
        require_mlflow(logging_to("http://host:5000", tmp_path))
